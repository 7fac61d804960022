// What the parts of the program hpp share.
#ifndef HPP_H
#define HPP_H

#include "peer.h"

#include "xmpp_close.hpp"

#include <string>
#include <vector>

struct closed {
    xmpp_close::result result;
    std::string got; // what the peer was sent
    bool saw_end;
};
// Closes a stream whose other end carries out the script.
closed close_with_peer(const step *script, const xmpp_close::options &options);

// In hpp_plain.cc, with other types, so in the types that both have.
int late_stanzas_without_exceptions(int fd);
bool run_without_exceptions();

#endif
