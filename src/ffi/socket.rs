//! A socket: a descriptor on Unix, a SOCKET of Winsock on Windows. What this file
//! calls errno is there a code of WSAGetLastError(): WSAEWOULDBLOCK for EAGAIN,
//! and WSAEINTR for EINTR.
//!
//! ```c
//! #if defined(_WIN32)
//! typedef uintptr_t xmpp_close_socket;
//! #define XMPP_CLOSE_NO_SOCKET ((xmpp_close_socket)-1)
//! #else
//! typedef int xmpp_close_socket;
//! #define XMPP_CLOSE_NO_SOCKET (-1)
//! #endif
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use crate::transport::RawSocket;

/// The number of a socket.
pub type xmpp_close_socket = RawSocket;
