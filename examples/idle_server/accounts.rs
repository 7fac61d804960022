//! Names and passwords.

const ACCOUNTS: [(&str, &str); 3] = [("alice", "secret"), ("bob", "secret"), ("carol", "secret")];

/// The name of the account, if the token of SASL PLAIN has the right name and password (RFC 4616).
pub fn check(token: &str) -> Option<&'static str> {
    let plain = String::from_utf8(base64(token.trim())?).ok()?;
    let [_authzid, user, password] = plain.split('\0').collect::<Vec<_>>().try_into().ok()?;
    ACCOUNTS.iter().find(|account| **account == (user, password)).map(|account| account.0)
}

/// RFC 4648 section 4.
fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0, 0);
    for digit in text.trim_end_matches('=').chars() {
        held = held << 6 | DIGITS.find(digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}
