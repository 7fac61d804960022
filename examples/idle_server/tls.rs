//! STARTTLS with rustls.

use std::{io, net::TcpStream, path::Path, sync::Arc, time::Duration};

use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use xmpp_close::RustlsTransport;

pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads the certificate, with those that vouch for it behind it, and its key.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, String> {
        let why = |file: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|e| why(cert, &e))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| why(key, &e))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
        Ok(Self(Arc::new(config.map_err(|e| why(cert, &e))?)))
    }

    /// Does the TLS handshake with a client.
    pub fn accept(&self, tcp: TcpStream, limit: Duration) -> io::Result<RustlsTransport<TcpStream>> {
        let session = ServerConnection::new(self.0.clone()).map_err(io::Error::other)?;
        let mut tls = RustlsTransport::new(session, tcp);
        tls.handshake(limit)?;
        Ok(tls)
    }
}
