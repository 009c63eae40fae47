//! A server whose plugin `motto` answers TXT queries.

use std::process::ExitCode;

use async_trait::async_trait;
use catena::corefile::ConfigErrors;
use catena::message::{CLASS_IN, Owner, RdataWriter, Request};
use catena::plugin::{Definition, Next, Outcome, Plugin, PluginError, Setup};

/// Answers TXT queries for every name with a motto.
struct Motto {
    text: String,
    ttl: u32,
}

const TXT: u16 = 16;

#[async_trait]
impl Plugin for Motto {
    fn name(&self) -> &'static str {
        "motto"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        if request.qtype_code() != TXT {
            return next.run(request).await;
        }
        let text = |data: &mut RdataWriter<'_>| data.text(self.text.as_bytes());
        let response = request
            .reply()
            .authoritative(true)
            .answer(Owner::Question, TXT, CLASS_IN, self.ttl, text)
            .finish();
        Ok(response.into())
    }
}

/// What a server's list of plugins names.
pub static PLUGIN: Definition = Definition::new("motto", setup);

/// The options of the block, for the parser and for its error messages.
const OPTIONS: &[&str] = &["ttl"];

const DEFAULT_TTL: u32 = 3600;

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    for directive in setup.directives() {
        let text = directive.one_arg("TEXT")?.as_str().to_owned();
        let mut ttl = DEFAULT_TTL;
        for option in directive.options() {
            match option.name() {
                "ttl" => ttl = option.one_arg("SECONDS")?.count(0..=86_400)? as u32,
                _ => return Err(option.unknown_option(OPTIONS).into()),
            }
        }
        setup.add(Motto { text, ttl });
    }
    Ok(())
}

fn main() -> ExitCode {
    catena::run(catena::plugins::registry().with_before(PLUGIN, "hosts"))
}

#[cfg(test)]
mod tests {
    use catena_testkit::{Case, Handler, RECORDS, TestServer, assert_setup_errors, check_all};

    use super::PLUGIN;

    #[test]
    fn txt_queries_get_the_motto_and_others_pass() {
        let handler = Handler::new(
            [PLUGIN, RECORDS],
            "motto \"Many links, one chain\" {
                ttl 60
            }
            records {
                a.example.org. 60 IN A 192.0.2.1
            }",
        );
        let motto = "a.example.org. 60 IN TXT \"Many links, one chain\"";
        let address = "a.example.org. 60 IN A 192.0.2.1";
        check_all(
            &handler,
            &[
                Case::new("the motto", "a.example.org. TXT")
                    .answer([motto])
                    .flags("aa rd"),
                Case::new("another type", "a.example.org. A").answer([address]),
            ],
        );
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        assert_setup_errors(
            &PLUGIN,
            [
                ("no text", "motto", "Corefile:1:1: plugin/motto: "),
                (
                    "a misspelt option",
                    "motto hello {\n  tll 5\n}",
                    "did you mean `ttl`?",
                ),
            ],
        );
    }

    #[test]
    fn a_server_answers_over_udp_and_tcp() {
        let server = TestServer::start([PLUGIN], ".:@PORT@ {\n  motto hello\n}");
        server
            .ask("example.org. TXT")
            .assert_answer(["example.org. 3600 IN TXT \"hello\""]);
        server
            .ask("example.org. TXT +tcp")
            .assert_answer(["example.org. TXT \"hello\""]);
    }
}
