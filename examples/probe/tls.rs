//! TLS with rustls (feature `rustls`).

use std::{io, net::TcpStream, sync::Arc, time::Duration};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{self, CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use xmpp_close::RustlsTransport;

use crate::{
    Failure,
    policy::Tls,
    recorder::{Ends, Recorder, Tap},
    remote::{Encrypted, Target},
    timeline::{Side, Timeline},
};

pub type Session = RustlsTransport<Tap<TcpStream>>;

pub fn is_built_in() -> Result<(), Failure> {
    Ok(())
}

/// Does the TLS handshake over a connected socket, waiting `limit` at most.
pub fn secure(
    tcp: TcpStream,
    target: &Target,
    timeline: &Timeline,
    limit: Duration,
) -> Result<(Recorder<Session>, Encrypted), Failure> {
    let name = ServerName::try_from(target.domain.clone())
        .map_err(|_| Failure::Usage(format!("no certificate can be for {}", target.domain)))?;
    let config = configuration(target).map_err(|error| Failure::Tls(error.to_string()))?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(|error| Failure::Tls(error.to_string()))?;
    let ends = Arc::<Ends>::default();
    let mut transport = RustlsTransport::new(session, Tap::new(tcp, ends.clone()));
    timeline.tls(Side::Us, "TLS handshake");
    transport.handshake(limit).map_err(|error| failure(&error, target))?;
    let version = match transport.session().protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    };
    let encrypted = Encrypted { version, certificate_checked: !target.insecure };
    timeline.tls(Side::Peer, encrypted.to_string());
    Ok((Recorder::over_tls(transport, timeline.clone(), ends), encrypted))
}

fn configuration(target: &Target) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = if target.insecure {
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        // Without root certificates, no certificate of a server is valid.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        config.with_root_certificates(roots).with_no_client_auth()
    };
    if target.tls == Tls::Direct && target.component.is_none() {
        config.alpn_protocols = vec![b"xmpp-client".into()]; // XEP-0368
    }
    Ok(config)
}

fn failure(error: &io::Error, target: &Target) -> Failure {
    let hint = if target.tls == Tls::Direct { " (is it a port for direct TLS?)" } else { "" };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(why)) => Failure::Certificate(reason(why, target)),
        Some(Error::InvalidMessage(_)) => Failure::Tls(format!("the server does not answer in TLS{hint}")),
        Some(error) => Failure::Tls(error.to_string()),
        None => Failure::Tls(match error.kind() {
            io::ErrorKind::TimedOut => format!("the server did not complete the TLS handshake in time{hint}"),
            io::ErrorKind::UnexpectedEof => format!("the server ended the connection in the TLS handshake{hint}"),
            _ => format!("the connection broke in the TLS handshake{hint}: {error}"),
        }),
    }
}

fn reason(error: &CertificateError, target: &Target) -> String {
    let words = match error {
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "no authority that this system trusts has signed it".into()
        }
        // A self-signed certificate, as OpenSSL makes it by default.
        CertificateError::Other(_) if error.to_string().contains("CaUsedAsEndEntity") => {
            "it is self-signed, or otherwise that of an authority".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is not for {}", target.domain)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
        error => error.to_string(),
    };
    words + if target.insecure { "" } else { "; --insecure accepts any" }
}

/// Accepts every certificate; that the server has its key is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
