//! What a registry shows: the address of the repository, which one line of CONTRIBUTING.md changes everywhere; the README, whose
//! links begin with that address there; and the documentation, which names the feature that each type needs.

use std::{fs, path::Path, process::Command};

use super::links::{links_of, root};

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The value of a field of Cargo.toml.
fn field(name: &str) -> String {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
    line.unwrap_or_else(|| panic!("no {name}")).trim_matches('"').to_owned()
}

#[test]
fn the_address_of_the_repository_is_the_same_everywhere() {
    let repository = field("repository");
    assert!(repository.starts_with("https://"), "{repository}");
    assert_eq!(field("homepage"), repository);
    let mut places = 0;
    for (file, names) in
        [("debian/control", &["Homepage: ", "Vcs-Browser: ", "Vcs-Git: "][..]), ("debian/copyright", &["Source: "])]
    {
        for line in read(file).lines() {
            if let Some(address) = names.iter().find_map(|name| line.strip_prefix(name)) {
                assert_eq!(address.trim_end_matches(".git"), repository, "{file}");
                places += 1;
            }
        }
    }
    assert_eq!(places, 4);
    let releasing = read("CONTRIBUTING.md").split("## Releasing").nth(1).unwrap().to_owned();
    assert!(releasing.contains(&format!("s,{repository},")), "CONTRIBUTING.md changes no {repository}");
}

#[test]
fn debians_files_have_the_version_and_the_soname() {
    let version = env!("CARGO_PKG_VERSION");
    let series = version.rsplit_once('.').unwrap().0; // the soname's number, as long as it begins with 0
    assert!(version.starts_with("0."), "from 1.0 on the first number is the soname's");
    assert!(read("debian/changelog").starts_with(&format!("xmpp-close ({version}-")), "the version");
    let package = format!("libxmpp-close{series}");
    assert!(read("debian/control").contains(&format!("\nPackage: {package}\n")), "the package of the library");
    let symbols = read(&format!("debian/{package}.symbols"));
    assert!(symbols.starts_with(&format!("libxmpp_close.so.{series} {package} ")), "{symbols}");
}

#[test]
fn on_the_registry_each_link_of_the_readme_leads_into_the_repository() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry");
    let mut crate_ = Command::new(root().join("packaging/crate"));
    let packed = crate_.arg(&folder).env("CARGO_NET_OFFLINE", "true").output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let name = format!("xmpp-close-{}", env!("CARGO_PKG_VERSION"));
    let unpacked = Command::new("tar")
        .args(["-xf", &format!("package/{name}.crate"), &format!("{name}/README.md")])
        .current_dir(&folder)
        .status();
    assert!(unpacked.unwrap().success());
    let [there, here] = [folder.join(name).join("README.md"), root().join("README.md")].map(|page| links_of(&page));
    assert!(here.len() > 50 && here.len() == there.len(), "{here:?}\n{there:?}");
    let base = format!("{}/blob/v{}/", field("repository"), env!("CARGO_PKG_VERSION"));
    for (here, there) in here.into_iter().zip(there) {
        let is_whole = here.starts_with('#') || here.contains("://");
        assert_eq!(there, if is_whole { here } else { format!("{base}{here}") });
    }
}

#[test]
fn the_registrys_documentation_names_the_feature_of_a_type() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry-doc");
    let mut cargo = Command::new(env!("CARGO"));
    // Its builder has the toolchain that knows this feature of rustdoc; here the stable one is told to know it.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", "--cfg docsrs -Dwarnings").current_dir(root());
    cargo
        .args(["doc", "--offline", "--no-deps", "--package", "xmpp-close", "--all-features", "--target-dir"])
        .arg(&target);
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for (page, feature) in [("Batch", "batch"), ("RustlsTransport", "rustls")] {
        let page = fs::read_to_string(target.join(format!("doc/xmpp_close/struct.{page}.html"))).unwrap();
        let label = format!("Available on <strong>crate feature <code>{feature}</code></strong> only.");
        assert!(page.contains(&label), "{feature} is not named");
    }
    assert!(read("Cargo.toml").contains("[package.metadata.docs.rs]\nall-features = true\n"));
}
