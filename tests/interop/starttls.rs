//! Clients over STARTTLS, with rustls.

use std::{net::TcpStream, sync::Arc, time::Instant};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use xmpp_close::RustlsTransport;

use crate::{
    client::Connect,
    daemon::{DOMAIN, PASSWORD, PATIENCE},
    login::{self, Session},
    servers::Server,
    session::{expect, send},
};

pub struct StartTls(Arc<ClientConfig>);

impl StartTls {
    /// Trusts the server's certificate, and nobody else's.
    pub fn to(server: &dyn Server) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.certificate()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap();
        Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }
}

impl Connect for StartTls {
    type Transport = RustlsTransport<TcpStream>;
    const NAME: &'static str = "STARTTLS";

    fn log_in(&self, tcp: TcpStream, account: &str) -> Result<Session<Self::Transport>, String> {
        let mut stream = login::open(tcp, DOMAIN, PATIENCE).map_err(|error| error.to_string())?.stream;
        send(&mut stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
        expect(&mut stream, "proceed")?;
        let stream = stream.upgrade(|tcp| {
            let name = DOMAIN.try_into().expect("a name");
            let session = ClientConnection::new(self.0.clone(), name).map_err(|error| error.to_string())?;
            let mut tls = RustlsTransport::new(session, tcp);
            tls.handshake(PATIENCE).map_err(|error| error.to_string())?;
            Ok::<_, String>(tls)
        })?;
        let opened = login::reopen(stream, DOMAIN, PATIENCE).map_err(|error| error.to_string())?;
        let session = login::log_in(opened, DOMAIN, account, PASSWORD, Instant::now() + PATIENCE);
        session.map_err(|error| error.to_string())
    }
}
