//! A plugin, the server that has it, and its test, in one file.
//!
//! `maxttl SECONDS` lowers the TTLs of what comes back from the plugins behind it:
//!
//! ```text
//! cargo run --example plugin_in_one_file -- -conf Corefile
//! cargo test --example plugin_in_one_file
//! ```

use std::process::ExitCode;

use async_trait::async_trait;
use catena::corefile::ConfigErrors;
use catena::message::Request;
use catena::plugin::{Definition, Next, Outcome, Plugin, PluginError, Setup, once};

fn main() -> ExitCode {
    catena::run(catena::plugins::registry().with_before(PLUGIN, "hosts"))
}

/// What a server's list of plugins names: the directive, and what reads it.
pub static PLUGIN: Definition = Definition::new("maxttl", setup);

/// Reads the directive. It runs for `catena check` too, so it uses no network and no clock.
fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let directive = once(setup.directives())?;
    directive.no_block()?;
    let seconds = directive.one_arg("SECONDS")?.count(1..=u64::from(u32::MAX))?;
    setup.add(MaxTtl(u32::try_from(seconds).unwrap_or(u32::MAX)));
    Ok(())
}

/// Lowers TTLs to this many seconds.
struct MaxTtl(u32);

#[async_trait]
impl Plugin for MaxTtl {
    fn name(&self) -> &'static str {
        "maxttl"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let mut outcome = next.run(request).await?;
        if let Outcome::Reply(response) = &mut outcome {
            response.cap_ttl(self.0);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_testkit::{Handler, Records, assert_setup_errors};

    #[test]
    fn ttls_are_lowered_and_never_raised() {
        let records = Records::new(
            "a.example.org. 3600 IN A 192.0.2.1
             b.example.org. 30 IN A 192.0.2.2",
        );
        let handler = Handler::builder(&PLUGIN, "maxttl 300")
            .end(records)
            .build()
            .expect("a good directive");
        handler
            .ask("a.example.org. A")
            .assert_answer(["a.example.org. 300 IN A 192.0.2.1"]);
        handler
            .ask("b.example.org. A")
            .assert_answer(["b.example.org. 30 IN A 192.0.2.2"]);
    }

    #[test]
    fn what_is_no_ttl_is_refused_with_its_place() {
        assert_setup_errors(
            &PLUGIN,
            [
                ("none", "maxttl", "Corefile:1:1: plugin/maxttl: "),
                ("a duration", "maxttl 5m", "Corefile:1:8: plugin/maxttl: "),
                ("twice", "maxttl 5\nmaxttl 6", "Corefile:2:1: plugin/maxttl: "),
            ],
        );
    }
}
