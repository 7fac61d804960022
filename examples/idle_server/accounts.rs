//! Names and passwords.

use base64::prelude::{BASE64_STANDARD, Engine as _};

const ACCOUNTS: [(&str, &str); 3] = [("alice", "secret"), ("bob", "secret"), ("carol", "secret")];

/// The name of the account, if the token of SASL PLAIN has the right name and password (RFC 4616).
pub fn check(token: &str) -> Option<&'static str> {
    let plain = String::from_utf8(BASE64_STANDARD.decode(token.trim()).ok()?).ok()?;
    let [_authzid, user, password] = plain.split('\0').collect::<Vec<_>>().try_into().ok()?;
    ACCOUNTS.iter().find(|account| **account == (user, password)).map(|account| account.0)
}
