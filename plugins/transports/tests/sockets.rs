//! Which sockets there are, over reloads too.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use catena_core::plugin::Definition;
use catena_plugin_transports::PLUGIN;
use catena_testkit::{RECORDS, TestServer, eventually};

const PLUGINS: [Definition; 2] = [PLUGIN, RECORDS];

fn corefile(directive: &str) -> String {
    format!(".:@PORT@ {{\n {directive}\n records {{\n a.example.org. 60 A 192.0.2.1\n }}\n}}\n")
}

/// What is listened on, as others see it.
fn is_there(server: &TestServer) -> (bool, bool) {
    let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
    // Whoever does not share a port cannot have one that is taken.
    let udp = UdpSocket::bind(address).is_err();
    (udp, TcpStream::connect(address).is_ok())
}

#[test]
fn only_what_is_named_is_listened_on() {
    for (directive, udp, tcp) in [
        ("", true, true),
        ("transports udp tcp", true, true),
        ("transports udp", true, false),
        ("transports tcp", false, true),
    ] {
        let server = TestServer::start(PLUGINS, &corefile(directive));
        assert_eq!(is_there(&server), (udp, tcp), "{directive}");
        if udp {
            server
                .ask("a.example.org. A")
                .assert_answer(["a.example.org. 60 A 192.0.2.1"]);
        } else {
            assert!(
                UdpSocket::bind(("127.0.0.1", server.port())).is_ok(),
                "{directive}"
            );
        }
        if tcp {
            server
                .ask("a.example.org. A +tcp")
                .assert_answer(["a.example.org. 60 A 192.0.2.1"]);
        } else {
            assert!(
                TcpListener::bind(("127.0.0.1", server.port())).is_ok(),
                "{directive}"
            );
        }
    }
}

#[test]
fn a_reload_opens_and_closes_what_has_changed() {
    let server = TestServer::start(PLUGINS, &corefile(""));
    for (directive, udp, tcp) in [
        ("transports udp", true, false),
        ("transports tcp", false, true),
        ("", true, true),
        ("transports tcp", false, true),
        ("transports udp", true, false),
        ("transports tcp udp", true, true),
    ] {
        server.reload(&corefile(directive)).unwrap();
        eventually("the sockets", || (is_there(&server) == (udp, tcp)).then_some(()));
        let transport = if udp { "" } else { " +tcp" };
        server
            .ask(format!("a.example.org. A{transport}").as_str())
            .assert_answer(["a.example.org. 60 A 192.0.2.1"]);
    }
}

#[test]
fn of_several_blocks_on_a_port_the_first_one_counts() {
    let text = format!(
        "{}example.org:@PORT@ {{\n transports tcp\n records {{\n b.example.org. 60 A 192.0.2.2\n }}\n}}\n",
        corefile("transports udp")
    );
    let server = TestServer::start(PLUGINS, &text);
    assert_eq!(is_there(&server), (true, false));
    server
        .ask("b.example.org. A")
        .assert_answer(["b.example.org. 60 A 192.0.2.2"]);
}
