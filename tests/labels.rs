//! What one plugin knows about a query, shown by another one.

use catena_testkit::{TestServer, Upstream};

#[test]
fn log_shows_the_upstream_that_forward_asked_last() {
    let dead = Upstream::start("");
    let alive = Upstream::start("a.example.org. 60 IN A 192.0.2.1");
    let (dead_address, address) = (dead.address(), alive.address());
    dead.stop();
    let corefile = format!(
        ".:@PORT@ {{
            metadata
            log . \"asked {{/forward/upstream}}\"
            forward . {dead_address} {address} {{
                policy sequential
            }}
        }}"
    );
    let server = TestServer::start(catena::plugins::registry(), &corefile);
    server
        .ask("a.example.org. A")
        .assert_answer(["a.example.org. 60 IN A 192.0.2.1"]);
    server.logs().wait_for(&format!("asked {address}"));
}
