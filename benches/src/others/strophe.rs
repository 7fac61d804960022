//! libstrophe, which is linked by its C name: a session, and the end of its stream.

use std::{
    cell::Cell,
    ffi::{CString, c_char, c_int, c_long, c_ulong, c_ushort, c_void},
    ptr,
    time::Duration,
};

use super::{Account, Clock};

const CONNECT: c_int = 0;
const DISCONNECT: c_int = 2;
const DISABLE_TLS: c_long = 1;
const DISABLE_STREAM_MANAGEMENT: c_long = 1 << 5;
/// `XMPP_EOK`.
const OK: c_int = 0;
/// How long libstrophe waits, in milliseconds; it returns as soon as anything arrives.
const WAIT: c_ulong = 1000;

type OnConnection = extern "C" fn(*mut c_void, c_int, c_int, *mut c_void, *mut c_void);

#[link(name = "strophe")]
unsafe extern "C" {
    fn xmpp_initialize();
    fn xmpp_ctx_new(memory: *const c_void, log: *const c_void) -> *mut c_void;
    fn xmpp_ctx_free(context: *mut c_void);
    fn xmpp_conn_new(context: *mut c_void) -> *mut c_void;
    fn xmpp_conn_release(connection: *mut c_void) -> c_int;
    fn xmpp_conn_set_flags(connection: *mut c_void, flags: c_long) -> c_int;
    fn xmpp_conn_set_jid(connection: *mut c_void, jid: *const c_char);
    fn xmpp_conn_set_pass(connection: *mut c_void, password: *const c_char);
    fn xmpp_connect_client(
        connection: *mut c_void,
        host: *const c_char,
        port: c_ushort,
        callback: OnConnection,
        userdata: *mut c_void,
    ) -> c_int;
    fn xmpp_disconnect(connection: *mut c_void);
    fn xmpp_run_once(context: *mut c_void, timeout: c_ulong);
}

/// The last event.
extern "C" fn on_connection(_: *mut c_void, event: c_int, _: c_int, _: *mut c_void, last: *mut c_void) {
    // SAFETY: `close` keeps it until the connection is released.
    unsafe { (*last.cast::<Cell<c_int>>()).set(event) };
}

pub fn close(account: &Account, clock: Clock) -> Duration {
    let jid = CString::new(account.jid()).unwrap();
    let password = CString::new(account.password).unwrap();
    let last = Cell::new(-1);
    // SAFETY: as its header says: what is made is given back once, in this order; strings are copied; `last` outlives
    // all.
    unsafe {
        xmpp_initialize();
        let context = xmpp_ctx_new(ptr::null(), ptr::null());
        let connection = xmpp_conn_new(context);
        assert_eq!(xmpp_conn_set_flags(connection, DISABLE_TLS | DISABLE_STREAM_MANAGEMENT), OK);
        xmpp_conn_set_jid(connection, jid.as_ptr());
        xmpp_conn_set_pass(connection, password.as_ptr());
        let (host, port) = (c"127.0.0.1".as_ptr(), account.server.port());
        assert_eq!(xmpp_connect_client(connection, host, port, on_connection, (&raw const last).cast_mut().cast()), OK);
        while last.get() == -1 {
            xmpp_run_once(context, WAIT);
        }
        assert_eq!(last.get(), CONNECT, "no session");
        let took = clock.time(|| {
            xmpp_disconnect(connection);
            while last.get() == CONNECT {
                xmpp_run_once(context, WAIT);
            }
        });
        assert_eq!(last.get(), DISCONNECT);
        xmpp_conn_release(connection);
        xmpp_ctx_free(context);
        took
    }
}
