//! `cache` and `dynresolve` in one block: what is registered is answered at once, whatever was cached before.

use std::io::{Read, Write};
use std::net::TcpStream;

use catena_core::message::Rcode;
use catena_testkit::{TestServer, Upstream};

const SOA: &str = "service.local. 60 IN SOA ns.service.local. admin.service.local. 1 7200 3600 1209600 60";

/// Registers a service, and gives the first line of what the API says.
fn put(server: &TestServer, name: &str, address: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port_of(1))).expect("the API");
    let body = format!("{{\"type\": \"A\", \"records\": [\"{address}\"]}}");
    let head = format!(
        "PUT /v1/services/{name} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer secret\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).expect("a request");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_name_that_was_nxdomain_upstream_resolves_as_soon_as_it_is_registered() {
    let upstream = Upstream::start(SOA);
    let corefile = format!(
        "service.local:@PORT@ {{
            dynresolve {{
                api listen 127.0.0.1:@P1@
                api token secret
            }}
            cache 30
            forward . {}
        }}",
        upstream.address()
    );
    let server = TestServer::start(catena::plugins::registry(), &corefile);
    for _ in 0..2 {
        server.ask("web.service.local. A").assert_rcode(Rcode::NXDOMAIN);
    }
    assert_eq!(
        upstream.count(),
        1,
        "the denial came from the cache the second time"
    );
    for address in ["192.0.2.10", "192.0.2.11"] {
        let reply = put(&server, "web", address);
        assert!(reply.starts_with("HTTP/1.1 20"), "{reply}");
        server
            .ask("web.service.local. A")
            .assert_answer([format!("web.service.local. 5 IN A {address}").as_str()]);
    }
    assert_eq!(upstream.count(), 1, "nobody was asked for what is registered");
}
