// xmpp_close.hpp: what its types are, and that handles own what they hold.
#include "check.h"
#include "hpp.h"

#include <chrono>
#include <memory>
#include <type_traits>

namespace {

// Overload resolution shows here what must not compile.
template <class Handle>
constexpr bool is_moved_only()
{
    return !std::is_copy_constructible<Handle>::value && !std::is_copy_assignable<Handle>::value &&
           std::is_nothrow_move_constructible<Handle>::value && std::is_nothrow_move_assignable<Handle>::value &&
           std::is_nothrow_default_constructible<Handle>::value && !std::is_convertible<Handle, bool>::value;
}
static_assert(is_moved_only<xmpp_close::canceller>(), "canceller");
static_assert(is_moved_only<xmpp_close::framer>(), "framer");
static_assert(is_moved_only<xmpp_close::stream>(), "stream");
static_assert(sizeof(xmpp_close::framer) == sizeof(void *), "nothing but the handle of C");
static_assert(!std::is_convertible<xmpp_close::result, bool>::value, "if (int n = close()) would be a mistake");
static_assert(std::is_copy_constructible<xmpp_close::options>::value, "options are values");
static_assert(std::is_nothrow_move_constructible<xmpp_close::options>::value, "options move");
static_assert(std::is_nothrow_move_constructible<xmpp_close::transport>::value, "transports move");
static_assert(std::is_base_of<xmpp_close_report, xmpp_close::report>::value &&
                  sizeof(xmpp_close::report) == sizeof(xmpp_close_report), "a report is that of C");
static_assert(noexcept(xmpp_close::report()) && std::is_nothrow_copy_constructible<xmpp_close::report>::value, "plain");
static_assert(!std::is_convertible<xmpp_close::outcome, int>::value, "an outcome is no number");

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
static_assert(xmpp_close::time_limit() == 0u, "the default");
static_assert(xmpp_close::time_limit(seconds(3)) == 3000u, "in milliseconds");
static_assert(xmpp_close::time_limit(microseconds(1500)) == 2u, "rounded up");
static_assert(xmpp_close::time_limit(seconds(0)) == 1u, "not the default");
static_assert(xmpp_close::time_limit(hours(-1)) == 1u, "nor its opposite");
static_assert(xmpp_close::time_limit(milliseconds(4294967296LL)) == UINT32_MAX, "the longest");
static_assert(xmpp_close::time_limit(hours::max()) == UINT32_MAX, "the longest");
static_assert(xmpp_close::time_limit(std::chrono::duration<double>(1e300)) == UINT32_MAX, "the longest");
static_assert(xmpp_close::moment(std::chrono::steady_clock::time_point(milliseconds(7))) == 7u, "a moment");
static_assert(xmpp_close::moment(std::chrono::steady_clock::time_point(milliseconds(-7))) == 0u, "no moment before zero");
static_assert(xmpp_close::moment(std::chrono::time_point<std::chrono::steady_clock, hours>::max()) == UINT64_MAX,
              "the last moment");
static_assert(!std::is_convertible<std::chrono::seconds, xmpp_close::moment>::value, "a duration is no moment");

template <class Fd>
constexpr auto closes_without_options(Fd fd) -> decltype(xmpp_close::close(fd), true)
{
    return true;
}
constexpr bool closes_without_options(...) { return false; }
static_assert(!closes_without_options(3), "that is close(2)");

template <class Handle>
void owns_one(Handle first, Handle second)
{
    Handle empty;
    CHECK(!empty && empty.get() == nullptr);
    const auto raw = first.get();
    CHECK(bool(first) && raw != nullptr && second.get() != raw);
    Handle moved(std::move(first));
    CHECK(!first && moved.get() == raw);
    Handle &same = moved; // not seen through by the compiler's warning
    moved = std::move(same);
    CHECK(moved.get() == raw);
    second = std::move(moved); // what the handle had is freed, as ASan and valgrind confirm
    CHECK(!moved && second.get() == raw);
    std::swap(second, empty);
    CHECK(!second && empty.get() == raw);
    empty = Handle();
    CHECK(!empty);
    std::vector<Handle> many(3);
    many.push_back(std::move(empty));
    many.insert(many.begin(), std::move(second));
    CHECK_INT(many.size(), 5);
}

TEST(handles_own_what_they_hold)
{
    owns_one(xmpp_close::canceller::create(), xmpp_close::canceller::create());
    owns_one(xmpp_close::stream::engine({}, 0), xmpp_close::stream::engine({}, 0));
    owns_one(xmpp_close::framer::create(), xmpp_close::framer::create_inside("stream:stream"));
}

TEST(an_empty_handle_says_so)
{
    CHECK_INT(xmpp_close::canceller().cancel(), XMPP_CLOSE_ERR_NULL);
    xmpp_close::stream stream; // an open stream
    CHECK(stream.send("<a/>") == xmpp_close::sent::err_null);
    CHECK_INT(stream.finish(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.finish(xmpp_close::error()), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.detach(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.cancel(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.peer_error(), XMPP_CLOSE_ERR_NULL);
    CHECK(stream.output().empty());
    CHECK_INT(stream.wrote(0, 10, 0), XMPP_CLOSE_OK);
    CHECK(stream.received(10, 0));
    for (const xmpp_close::wants &now : { stream.wants(), stream.tick(0), stream.step() }) {
        CHECK(now.read && now.parse && now.may_send);
        CHECK(!now.write && !now.answer && !now.inside && !now.notify && !now.shut && !now.over);
    }
    CHECK_INT(stream.timeout(0), -1);
    CHECK_INT(stream.report().outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(stream.report().struct_size, sizeof(xmpp_close_report));
    xmpp_close::framer framer;
    const char *data = "<a/>", *xml = data;
    size_t len = 4, xml_len = 0;
    CHECK(framer.next(data, len, xml, xml_len) == xmpp_close::frame::err_null);
    CHECK_INT(len, 4);
    CHECK(xml == nullptr);
    int calls = 0;
    CHECK(framer.feed(data, len, [&](xmpp_close::frame, const char *, size_t) { calls++; }) ==
          xmpp_close::frame::err_null);
    CHECK_INT(calls, 0);
    CHECK_INT(framer.restart(), XMPP_CLOSE_ERR_NULL);
    CHECK(!framer.between_stanzas());

    int code = 77;
    CHECK(!xmpp_close::framer::create_inside("not a name", 0, &code));
    CHECK_INT(code, XMPP_CLOSE_ERR_INVALID);
    xmpp_close::options options;
    const xmpp_close::canceller empty;
    options.canceller = &empty;
    CHECK(!xmpp_close::stream::engine(options, 0, &code));
    CHECK_INT(code, XMPP_CLOSE_ERR_INVALID);
}

} // namespace
