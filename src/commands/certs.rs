//! `podberth certs`: certificates to try things out with.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use sha2::{Digest as _, Sha256};

use crate::{clock, core::access::MASTERS, hex::hex};

/// Years for which the authority is valid, and days for which its certificates are: some clients take none that lasts for more than 825 days.
const AUTHORITY_YEARS: i64 = 10;
const CERTIFICATE_DAYS: i64 = 365;

/// Hosts that the server's certificate has in any case.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The user that kube-scheduler has in a cluster of kubeadm.
const SCHEDULER: &str = "system:kube-scheduler";

/// The subcommands for certificates.
#[derive(Subcommand)]
pub enum Command {
    /// Write an authority and certificates of a server, an administrator and kube-scheduler, for demonstrations and tests
    ///
    /// The key of the authority is not written: nobody can make further certificates with it. In production use the certificates of your own
    /// authority.
    Dev(Dev),
}

/// Options of `podberth certs dev`.
#[derive(Args)]
pub struct Dev {
    /// The folder, which is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// A further host of the server besides localhost, 127.0.0.1 and ::1; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
}

/// A file to write.
struct Made {
    name: String,
    text: String,
    mode: u32,
}

/// Runs a subcommand; its output.
///
/// # Errors
/// In one line.
pub fn run(command: &Command) -> Result<String, String> {
    let Command::Dev(dev) = command;
    let files = made(&dev.hosts, clock::now())?;
    let folder = &dev.folder;
    let there: Vec<&str> = files.iter().map(|file| &*file.name).filter(|name| folder.join(name).exists()).collect();
    if !there.is_empty() {
        let folder = folder.display();
        return Err(format!("{folder} has {} already: nothing is overwritten, name another folder", there.join(", ")));
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in &files {
        write(&folder.join(&file.name), file)?;
    }
    let at = folder.display();
    Ok(format!(
        "{at} has ca.crt and the certificates and keys of server, admin and scheduler, which end in {CERTIFICATE_DAYS} days. Try:\n\n  \
         podberth serve --tls-cert-file {at}/server.crt --tls-key-file {at}/server.key --client-ca-file {at}/ca.crt\n  \
         curl --cacert {at}/ca.crt --cert {at}/admin.crt --key {at}/admin.key https://localhost:8080/api/v1/nodes\n"
    ))
}

fn write(path: &Path, file: &Made) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(path).map_err(wrong)?;
    opened.write_all(file.text.as_bytes()).map_err(wrong)
}

/// The files of an authority that begins now.
fn made(hosts: &[String], now: Timestamp) -> Result<Vec<Made>, String> {
    let wrong = |error: rcgen::Error| format!("the certificates cannot be made: {error}");
    let today = now.to_zoned(TimeZone::UTC).date();
    let later = |span: jiff::Span| today.checked_add(span).map_err(|error| error.to_string());
    let (authority_ends, ends) = (later(AUTHORITY_YEARS.years())?, later(CERTIFICATE_DAYS.days())?);
    // Clocks of clients may be slow.
    let begins = later((-1).days())?;

    let authority_key = KeyPair::generate().map_err(wrong)?;
    // Clients that trust two of these look for the right one by its name.
    let id = hex(&Sha256::digest(authority_key.public_key_raw())[..4]);
    let mut authority = params(&[], &format!("podberth development authority {id}"), "", begins, authority_ends)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = authority.self_signed(&authority_key).map_err(wrong)?;
    let mut files = vec![public("ca", &certificate)];
    let issuer = Issuer::new(authority, authority_key);

    let hosts: Vec<String> = HOSTS.iter().map(|&host| host.to_owned()).chain(hosts.iter().cloned()).collect();
    for (name, hosts, user, group) in
        [("server", &*hosts, "podberth", ""), ("admin", &[], "admin", MASTERS), ("scheduler", &[], SCHEDULER, "")]
    {
        let key = KeyPair::generate().map_err(wrong)?;
        let mut wanted = params(hosts, user, group, begins, ends)?;
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.use_authority_key_identifier_extension = true;
        wanted.extended_key_usages = vec![if hosts.is_empty() {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        files.push(public(name, &wanted.signed_by(&key, &issuer).map_err(wrong)?));
        files.push(Made { name: format!("{name}.key"), text: key.serialize_pem(), mode: 0o600 });
    }
    Ok(files)
}

fn public(name: &str, certificate: &Certificate) -> Made {
    Made { name: format!("{name}.crt"), text: certificate.pem(), mode: 0o644 }
}

fn params(hosts: &[String], name: &str, group: &str, begins: Date, ends: Date) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(hosts).map_err(|error| format!("--host: {error}"))?;
    let mut names = DistinguishedName::new();
    if !group.is_empty() {
        names.push(DnType::OrganizationName, group);
    }
    names.push(DnType::CommonName, name);
    params.distinguished_name = names;
    let day =
        |date: Date| date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
    params.not_before = day(begins);
    params.not_after = day(ends);
    Ok(params)
}
