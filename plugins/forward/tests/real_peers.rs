//! Forwarding to other people's servers over TLS and HTTPS. Those that are not installed are left out by name.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use catena_core::message::Rcode;
use catena_testkit::{Answer, Identity, Pki, Query, eventually};
use common::{NAMES, corefile, server};
use tempfile::TempDir;

/// A server of somebody else's that knows `a.example.org` and listens on one port.
struct Peer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts `program` with a configuration that `write` makes of a port and a folder; nothing if it is not installed.
fn start(program: &str, arguments: &[&str], write: impl Fn(u16, &Path) -> String) -> Option<Peer> {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists());
    let Some(found) = found else {
        println!("left out: {program} is not installed");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let file = folder.path().join("peer.conf");
    std::fs::write(&file, write(port, folder.path())).unwrap();
    let mut process = Command::new(found)
        .args(arguments)
        .arg(&file)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(folder.path().join("stdout")).unwrap())
        .stderr(std::fs::File::create(folder.path().join("stderr")).unwrap())
        .spawn()
        .unwrap();
    eventually(program, || {
        if let Some(status) = process.try_wait().unwrap() {
            let said = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
            panic!(
                "{program} ended with {status}: {}{}",
                said("stdout"),
                said("stderr")
            );
        }
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    Some(Peer {
        process,
        port,
        _folder: folder,
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Unbound over TLS.
fn unbound(identity: &Identity) -> Option<Peer> {
    start("unbound", &["-d", "-c"], |port, folder| {
        format!(
            "server:\n interface: 127.0.0.1@{port}\n port: {port}\n tls-port: {port}\n do-daemonize: no\n username: \"\"\n \
             chroot: \"\"\n directory: \"{folder}\"\n pidfile: \"\"\n use-syslog: no\n num-threads: 1\n \
             tls-service-key: \"{}\"\n tls-service-pem: \"{}\"\n local-zone: \"example.org.\" static\n \
             local-data: \"a.example.org. 60 IN A 192.0.2.1\"\nremote-control:\n control-enable: no\n",
            identity.key.display(),
            identity.certificate.display(),
            folder = folder.display(),
        )
    })
}

/// dnsdist over TLS or HTTPS.
fn dnsdist(identity: &Identity, listener: &str) -> Option<Peer> {
    start(
        "dnsdist",
        &["--supervised", "--disable-syslog", "-C"],
        |port, _| {
            let (certificate, key) = (identity.certificate.display(), identity.key.display());
            let path = if listener == "addDOHLocal" {
                ", \"/dns-query\""
            } else {
                ""
            };
            format!(
                "setLocal(\"127.0.0.1:{}\")\n{listener}(\"127.0.0.1:{port}\", \"{certificate}\", \"{key}\"{path})\n\
             addAction(\"a.example.org\", SpoofAction({{\"192.0.2.1\"}}, {{ttl=60}}))\n\
             addAction(AllRule(), RCodeAction(DNSRCode.NXDOMAIN))\n",
                free_port()
            )
        },
    )
}

/// Knot Resolver over TLS or HTTPS.
fn kresd(identity: &Identity, kind: &str) -> Option<Peer> {
    start("kresd", &["-n", "-c"], |port, folder| {
        format!(
            "net.listen('127.0.0.1', {port}, {{ kind = '{kind}' }})\nnet.tls('{}', '{}')\ncache.open(10 * MB, 'lmdb://{}')\n\
             modules = {{ 'policy' }}\n\
             policy.add(policy.suffix(policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('192.0.2.1'), ttl = 60 }} }}), \
             {{ todname('a.example.org') }}))\npolicy.add(policy.all(policy.DENY))\n",
            identity.certificate.display(),
            identity.key.display(),
            folder.display(),
        )
    })
}

/// Asks it through the plugin, one query after the other and many at a time.
fn check(pki: &Pki, scheme: &str, peer: &Peer) {
    let server = server(&corefile(pki, scheme, &format!("127.0.0.1:{}", peer.port), ""));
    for query in ["a.example.org. A", "a.example.org. A +tcp"] {
        server
            .ask(query)
            .assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
    }
    server.ask("none.example.org. A").assert_rcode(Rcode::NXDOMAIN);
    let sockets: Vec<UdpSocket> = (0..200).map(|_| server.udp_socket()).collect();
    let wire = Query::from("a.example.org. A +bufsize=1232").to_wire();
    for socket in &sockets {
        socket.send(&wire).unwrap();
    }
    let mut buffer = [0; 512];
    for socket in &sockets {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        let answer = Answer::from_wire(buffer[..length].to_vec()).unwrap();
        // Peers may have extended errors of their own; 0 is that of `complain`.
        let failure = answer.extended_error().filter(|(code, _)| *code == 0);
        assert_eq!(failure, None);
        answer.assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
    }
}

/// Asks with a name that the peer's certificate is not for.
fn check_wrong_name(pki: &Pki, scheme: &str, peer: &Peer) {
    let corefile = corefile(pki, scheme, &format!("127.0.0.1:{}", peer.port), "").replace(
        "tls_servername dns.example.org",
        "tls_servername other.example.org",
    );
    let server = server(&corefile);
    let answer = server.ask("a.example.org. A +bufsize=1232");
    answer.assert_rcode(Rcode::SERVFAIL);
    let (_, error) = answer.extended_error().unwrap();
    let want = "certificate is valid for dns.example.org, 127.0.0.1, not other.example.org";
    assert!(error.contains(want), "{error}");
}

fn with(peer: impl Fn(&Identity) -> Option<Peer>, scheme: &str) {
    let pki = Pki::new("peers");
    let identity = pki.identity(&NAMES);
    if let Some(peer) = peer(&identity) {
        check(&pki, scheme, &peer);
        check_wrong_name(&pki, scheme, &peer);
    }
}

#[test]
fn unbound_is_asked_over_tls() {
    with(unbound, "tls");
}

#[test]
fn dnsdist_is_asked_over_tls() {
    with(|identity| dnsdist(identity, "addTLSLocal"), "tls");
}

#[test]
fn dnsdist_is_asked_over_https() {
    with(|identity| dnsdist(identity, "addDOHLocal"), "https");
}

#[test]
fn knot_resolver_is_asked_over_tls() {
    with(|identity| kresd(identity, "tls"), "tls");
}

#[test]
fn knot_resolver_is_asked_over_https() {
    with(|identity| kresd(identity, "doh2"), "https");
}
