//! Clients over STARTTLS, with rustls.

use std::{net::TcpStream, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use xmpp_close::RustlsTransport;

use crate::{
    client::Connect,
    daemon::{DOMAIN, PATIENCE},
    login::{self, Session},
    servers::Server,
    session::{become_alice, expect, open, send},
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
        assert_eq!(account, "alice");
        let mut stream = login::open(tcp, DOMAIN, PATIENCE).map_err(|error| error.to_string())?.stream;
        send(&mut stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
        expect(&mut stream, "proceed")?;
        let mut stream = stream.upgrade(|tcp| {
            let name = DOMAIN.try_into().expect("a name");
            let session = ClientConnection::new(self.0.clone(), name).map_err(|error| error.to_string())?;
            let mut tls = RustlsTransport::new(session, tcp);
            tls.handshake(PATIENCE).map_err(|error| error.to_string())?;
            Ok::<_, String>(tls)
        })?;
        open(&mut stream, &format!("xmlns='jabber:client' to='{DOMAIN}' version='1.0'"))?;
        expect(&mut stream, "features")?;
        let jid = become_alice(&mut stream, None)?;
        Ok(Session { stream, jid })
    }
}
