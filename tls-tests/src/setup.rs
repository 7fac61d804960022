//! Which library is at which end, which version of TLS, and the certificate of this run.

use std::sync::{Arc, LazyLock};

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{Ssl, SslContext, SslMethod, SslMode, SslVerifyMode, SslVersion},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

pub const NAME: &str = "xmpp.test";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    Rustls,
    Openssl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub ours: Library,
    pub theirs: Library,
    pub version: Version,
    /// We are the client, or the server.
    pub client: bool,
    /// Closed in a batch, or alone.
    pub batch: bool,
}

impl Case {
    /// Both libraries at both ends, both versions, closed alone and in a batch.
    pub fn all() -> Vec<Self> {
        let libraries = [Library::Rustls, Library::Openssl];
        let ends = libraries.into_iter().flat_map(|ours| libraries.map(|theirs| (ours, theirs)));
        let sessions = ends.flat_map(|ends| [Version::Tls12, Version::Tls13].map(|version| (ends, version)));
        sessions
            .flat_map(|((ours, theirs), version)| {
                [false, true].map(|batch| Self { ours, theirs, version, client: true, batch })
            })
            .collect()
    }

    /// Both libraries at our end, both versions, against rustls, which does what it is told.
    pub fn against_rustls() -> Vec<Self> {
        Self::all().into_iter().filter(|case| case.theirs == Library::Rustls).collect()
    }
}

/// Runs a test in every cell; what it says of a cell that fails is under the cell's name.
pub fn each(cases: Vec<Case>, test: impl Fn(Case)) {
    assert!(!cases.is_empty());
    for case in cases {
        println!("{case:?}");
        test(case);
    }
}

/// The same, all cells at once: for tests that wait.
pub fn each_at_once(cases: Vec<Case>, test: impl Fn(Case) + Sync) {
    assert!(!cases.is_empty());
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| (case, scope.spawn(|| test(*case)))).collect();
        for (case, thread) in threads {
            assert!(thread.join().is_ok(), "{case:?} failed, see above");
        }
    });
}

static IDENTITY: LazyLock<(X509, PKey<Private>)> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", NAME).unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    certificate.append_extension(BasicConstraints::new().critical().build().unwrap()).unwrap();
    let name = SubjectAlternativeName::new().dns(NAME).build(&certificate.x509v3_context(None, None)).unwrap();
    certificate.append_extension(name).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    (certificate.build(), key)
});

pub fn certificate() -> CertificateDer<'static> {
    IDENTITY.0.to_der().unwrap().into()
}

fn protocol(version: Version) -> [&'static rustls::SupportedProtocolVersion; 1] {
    [match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    }]
}

pub fn rustls_client(version: Version) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&protocol(version))
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), NAME.try_into().unwrap()).unwrap()
}

pub fn rustls_server(version: Version) -> ServerConnection {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(IDENTITY.1.private_key_to_pkcs8().unwrap()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&protocol(version))
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

pub fn rustls(version: Version, client: bool) -> Connection {
    if client { rustls_client(version).into() } else { rustls_server(version).into() }
}

/// One context for each version and side: making one takes longer than a close.
static CONTEXTS: LazyLock<[SslContext; 4]> = LazyLock::new(|| {
    [(Version::Tls12, false), (Version::Tls12, true), (Version::Tls13, false), (Version::Tls13, true)].map(
        |(version, client)| {
            let version = Some(match version {
                Version::Tls12 => SslVersion::TLS1_2,
                Version::Tls13 => SslVersion::TLS1_3,
            });
            let mut context = SslContext::builder(SslMethod::tls()).unwrap();
            context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::AUTO_RETRY);
            context.set_min_proto_version(version).unwrap();
            context.set_max_proto_version(version).unwrap();
            if client {
                context.cert_store_mut().add_cert(IDENTITY.0.clone()).unwrap();
                context.set_verify(SslVerifyMode::PEER);
            } else {
                context.set_certificate(&IDENTITY.0).unwrap();
                context.set_private_key(&IDENTITY.1).unwrap();
            }
            context.build()
        },
    )
});

pub fn openssl(version: Version, client: bool) -> Ssl {
    let number = usize::from(version == Version::Tls13) * 2 + usize::from(client);
    let mut ssl = Ssl::new(&CONTEXTS[number]).unwrap();
    if client {
        ssl.set_hostname(NAME).unwrap();
        ssl.param_mut().set_host(NAME).unwrap();
        ssl.set_connect_state();
    } else {
        ssl.set_accept_state();
    }
    ssl
}
