//! Reads a `grpc` directive.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use catena_core::corefile::{ConfigError, Directive, Token};
use catena_core::message::Zone;
use catena_core::plugin::Fallthrough;
use catena_upstream::{Method, Policy, Scheme, Target, Tls, name_servers, parse_address, server_name};

/// Upstreams of one directive, those of files included.
const MAX_UPSTREAMS: usize = 15;

/// The port of addresses without one, as CoreDNS has it.
const DEFAULT_PORT: u16 = 53;

const OPTIONS: &[&str] = &["except", "tls", "tls_servername", "policy", "fallthrough"];

/// What a target may look like.
const EXPECTED: &str =
    "an IP address with or without a port, unix:// and a path, or a file such as /etc/resolv.conf";

/// One directive.
#[derive(Debug)]
pub(crate) struct Config {
    /// Names below it are passed on,
    pub(crate) from: Zone,
    /// but not those below one of these.
    pub(crate) except: Vec<Zone>,
    pub(crate) targets: Vec<Target>,
    pub(crate) policy: Policy,
    /// For which names the next plugin is asked when the upstream knows nothing or fails.
    pub(crate) fallthrough: Fallthrough,
}

/// Where an upstream listens.
#[derive(Debug)]
enum Place {
    Address(SocketAddr),
    Socket(PathBuf),
}

/// Reads the directive. Files among its targets, and those of `tls`, are read now.
pub(crate) fn parse(directive: &Directive, folder: &Path, root: &Path) -> Result<Config, ConfigError> {
    let args = directive.at_least(2, "FROM TO...")?;
    let (from, to) = (&args[0], &args[1..]);
    let Some(zone) = from.zones()?.into_iter().next() else {
        return Err(from.expected("a zone"));
    };
    let mut places = Vec::new();
    for token in to {
        places.extend(read_target(token, folder)?);
    }
    if places.is_empty() {
        return Err(directive.error("no name servers found in the files that are given"));
    }
    if places.len() > MAX_UPSTREAMS {
        return Err(directive.error(format!(
            "more than {MAX_UPSTREAMS} TOs configured: {}",
            places.len()
        )));
    }
    let mut config = Config {
        from: zone,
        except: Vec::new(),
        targets: Vec::new(),
        policy: Policy::Random,
        fallthrough: Fallthrough::default(),
    };
    let (mut tls, mut name) = (None, None);
    for option in directive.options() {
        match option.name() {
            "except" => {
                for name in option.at_least(1, "IGNORED_NAMES...")? {
                    config.except.extend(name.zones()?);
                }
            }
            "tls" => tls = Some(Tls::from_option(option, root)?),
            "tls_servername" => name = Some(server_name(option.one_arg("NAME")?)?),
            "policy" => {
                let syntax = "random|round_robin|sequential";
                config.policy = Policy::named(option.one_arg(syntax)?.one_of(Policy::NAMES)?);
            }
            "fallthrough" => config.fallthrough = Fallthrough::from_option(option)?,
            _ => return Err(option.unknown_option(OPTIONS)),
        }
    }
    let failed = |error: catena_upstream::TlsError| directive.error(error.to_string());
    if tls.is_none() && name.is_some() {
        // A name alone asks for TLS too, as `tls` without files.
        tls = Some(Tls::from_files(None, None).map_err(failed)?);
    }
    for place in places {
        config
            .targets
            .push(target(place, tls.as_ref(), name.as_deref()).map_err(failed)?);
    }
    Ok(config)
}

fn target(place: Place, tls: Option<&Tls>, name: Option<&str>) -> Result<Target, catena_upstream::TlsError> {
    match (place, tls) {
        (Place::Address(address), None) => Ok(Target::grpc(address)),
        (Place::Address(address), Some(tls)) => {
            Target::secure(Scheme::Grpc, address, tls, name, Method::default())
        }
        (Place::Socket(path), None) => Target::grpc_on_unix_socket(&path, None),
        // A path has no name of its own that a certificate could be for.
        (Place::Socket(path), Some(tls)) => {
            Target::grpc_on_unix_socket(&path, Some((tls, name.unwrap_or("localhost"))))
        }
    }
}

/// Reads a target, which is one upstream, or several if it is a file of name servers.
fn read_target(token: &Token, folder: &Path) -> Result<Vec<Place>, ConfigError> {
    let text = token.as_str();
    let (text, port) = match text.split_once("://") {
        None => (text, DEFAULT_PORT),
        Some(("grpc", rest)) => (rest, Scheme::Grpc.default_port()),
        Some(("unix", path)) if !path.is_empty() => return Ok(vec![Place::Socket(PathBuf::from(path))]),
        Some((scheme, _)) => {
            return Err(token
                .error(format!("`{scheme}` is no protocol for calls: {token}"))
                .with_expected(EXPECTED));
        }
    };
    if let Some(address) = parse_address(text, port) {
        return Ok(vec![Place::Address(address)]);
    }
    match read_file(text, folder) {
        Ok(content) => Ok(name_servers(&content).into_iter().map(Place::Address).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(token
            .error(format!("not an IP address or file: {token}"))
            .with_expected(EXPECTED)),
        Err(error) => Err(token.error(format!("cannot read {text}: {error}"))),
    }
}

fn read_file(text: &str, folder: &Path) -> io::Result<String> {
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match read(Path::new(text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(&folder.join(text)),
        other => other,
    }
}
