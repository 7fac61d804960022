/* xmpp_close_fwd.hpp: declares the types of xmpp_close.hpp, for headers that only mention them. */

#ifndef XMPP_CLOSE_FWD_HPP
#define XMPP_CLOSE_FWD_HPP

#include <cstdint>

/* Files with exceptions and files without have different types: a mix of both in one interface fails to link. */
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define XMPP_CLOSE_HPP_EXCEPTIONS 1
#define XMPP_CLOSE_HPP_ABI with_exceptions
#else
#define XMPP_CLOSE_HPP_EXCEPTIONS 0
#define XMPP_CLOSE_HPP_ABI without_exceptions
#endif

namespace xmpp_close {
inline namespace XMPP_CLOSE_HPP_ABI {

enum class outcome : std::uint32_t;
enum class initiator : std::uint32_t;
enum class limit : std::uint32_t;
enum class fact : int;
enum class phase : int;
enum class sent : int;
enum class frame : int;

struct report;
struct wants;
struct error;
struct options;
struct batch_options;
struct transport;
struct result;
struct batch_result;

class canceller;
class stream;
class batch;
class framer;

} // namespace XMPP_CLOSE_HPP_ABI
} // namespace xmpp_close

#endif // XMPP_CLOSE_FWD_HPP
