// xmpp_close.hpp in a file that is compiled with -fno-exceptions -fno-rtti, of a program whose other files are not.
#include "hpp.h"

#if XMPP_CLOSE_HPP_EXCEPTIONS || defined(__GXX_RTTI)
#error "this is to be compiled without exceptions and RTTI"
#endif

int late_stanzas_without_exceptions(int fd)
{
    int count = 0;
    xmpp_close::options options;
    options.on_stanza = [&count](const char *, size_t) {
        count++;
        return 0;
    };
    const xmpp_close::result result = xmpp_close::close(fd, options);
    return result && result.report.outcome == XMPP_CLOSE_CLEAN ? count : result.code;
}

bool run_without_exceptions()
{
    xmpp_close::stream stream = xmpp_close::stream::engine({}, 0);
    const xmpp_close::canceller canceller = xmpp_close::canceller::create();
    xmpp_close::batch batch = xmpp_close::batch::create();
    if (batch.add(-1, {}) != XMPP_CLOSE_ERR_INVALID || !batch.run({}))
        return false;
    int stanzas = 0;
    const char bytes[] = "<a/>" TAG;
    const xmpp_close::frame last = xmpp_close::framer::create_inside("stream:stream").feed(
        bytes, sizeof bytes - 1,
        [&](xmpp_close::frame kind, const char *, size_t) { stanzas += kind == xmpp_close::frame::stanza; });
    return stream.finish(1) == XMPP_CLOSE_OK && stream.output().size() == sizeof TAG - 1 && canceller.cancel() == XMPP_CLOSE_OK && stanzas == 1 &&
           last == xmpp_close::frame::end;
}
