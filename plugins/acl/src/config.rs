//! Reads the `acl` directives.

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Token};
use catena_core::message::Zone;
use catena_networks::NetworkSet;
use catena_records::type_code;

/// The words that a line can begin with.
const ACTIONS: &[&str] = &["allow", "block", "filter", "drop"];

/// What happens to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It passes, whatever later rules say.
    Allow,
    /// It is REFUSED.
    Block,
    /// It is dropped without an answer.
    Drop,
    /// It gets an empty answer.
    Filter,
}

/// The types that a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Types {
    All,
    Some(Vec<u16>),
}

/// One line: an action, for these types from these networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) action: Action,
    pub(crate) types: Types,
    pub(crate) networks: NetworkSet,
}

/// One `acl` directive: the first policy that fits decides about names in the zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) zones: Vec<Zone>,
    pub(crate) policies: Vec<Policy>,
}

/// Reads all directives; `block` are the zones of the server block.
pub(crate) fn parse(directives: &[Directive], block: &[Zone]) -> Result<Vec<Rule>, ConfigErrors> {
    let mut errors = Collector::default();
    let mut rules = Vec::with_capacity(directives.len());
    for directive in directives {
        let mut zones = Vec::new();
        for arg in directive.args() {
            zones.extend(errors.take(arg.zones()).unwrap_or_default());
        }
        if directive.args().is_empty() {
            zones = block.to_vec();
        }
        let read = |line| errors.take(policy(line));
        let policies = directive.options().iter().filter_map(read).collect();
        rules.push(Rule { zones, policies });
    }
    errors.finish(rules)
}

/// Reads `ACTION [type QTYPE...] [net SOURCE...]`.
fn policy(line: &Directive) -> Result<Policy, ConfigError> {
    let action = match line.name().to_ascii_lowercase().as_str() {
        "allow" => Action::Allow,
        "block" => Action::Block,
        "drop" => Action::Drop,
        "filter" => Action::Filter,
        _ => return Err(line.unknown_option(ACTIONS)),
    };
    let mut types = None;
    let mut networks = None;
    let mut rest = line.at_least(0, "[type QTYPE...] [net SOURCE...]")?;
    while let [head, words @ ..] = rest {
        let len = words.iter().position(is_section).unwrap_or(words.len());
        let (values, behind) = words.split_at(len);
        if !is_section(head) {
            return Err(head.expected("`type` or `net`"));
        }
        if values.is_empty() {
            return Err(head
                .error(format!("nothing stands in the section `{head}`"))
                .with_expected(if is_types(head) { "QTYPE..." } else { "SOURCE..." }));
        }
        if is_types(head) {
            read_types(values, types.get_or_insert(Types::Some(Vec::new())))?;
        } else {
            read_networks(values, networks.get_or_insert_default())?;
        }
        rest = behind;
    }
    let networks = match networks {
        Some(Networks { any: false, given }) => given.into_iter().collect(),
        _ => NetworkSet::all(),
    };
    Ok(Policy {
        action,
        types: types.unwrap_or(Types::All),
        networks,
    })
}

fn is_types(word: &Token) -> bool {
    word.as_str().eq_ignore_ascii_case("type")
}

fn is_section(word: &Token) -> bool {
    is_types(word) || word.as_str().eq_ignore_ascii_case("net")
}

/// As in CoreDNS, what stands behind `*` in its section is not looked at.
fn read_types(words: &[Token], types: &mut Types) -> Result<(), ConfigError> {
    for word in words {
        if *word == "*" {
            *types = Types::All;
            return Ok(());
        }
        let Some(code) = type_code(word.as_str()) else {
            let capitals = word.as_str().to_ascii_uppercase();
            let error = word.expected("a query type in capitals, such as AAAA, or *");
            return Err(match type_code(&capitals) {
                Some(_) => error.with_suggestion(capitals),
                None => error,
            });
        };
        if let Types::Some(codes) = types {
            codes.push(code);
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Networks {
    any: bool,
    given: Vec<ipnet::IpNet>,
}

fn read_networks(words: &[Token], networks: &mut Networks) -> Result<(), ConfigError> {
    for word in words {
        if *word == "*" {
            networks.any = true;
            return Ok(());
        }
        networks.given.push(word.network()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use catena_core::corefile::testing::parse_directives;

    use super::*;

    fn rules(text: &str) -> Result<Vec<Rule>, ConfigErrors> {
        parse(
            &parse_directives(text).unwrap(),
            &["example.org".parse().unwrap()],
        )
    }

    fn networks(list: &[&str]) -> NetworkSet {
        list.iter()
            .map(|text| text.parse::<ipnet::IpNet>().unwrap())
            .collect()
    }

    #[test]
    fn lines_are_policies() {
        for (line, action, types, sources) in [
            ("allow", Action::Allow, Types::All, NetworkSet::all()),
            (
                "BLOCK type A AAAA",
                Action::Block,
                Types::Some(vec![1, 28]),
                NetworkSet::all(),
            ),
            ("drop type A * XXX", Action::Drop, Types::All, NetworkSet::all()),
            (
                "filter Type A TYPE MX",
                Action::Filter,
                Types::Some(vec![1, 15]),
                NetworkSet::all(),
            ),
            (
                "allow net 192.0.2.1",
                Action::Allow,
                Types::All,
                networks(&["192.0.2.1/32"]),
            ),
            (
                "block NET 192.0.2.0/24 2001:db8::/32 type ANY net 2001:db9::1",
                Action::Block,
                Types::Some(vec![255]),
                networks(&["192.0.2.0/24", "2001:db8::/32", "2001:db9::1/128"]),
            ),
            (
                "block net 192.0.2.1 * nonsense",
                Action::Block,
                Types::All,
                NetworkSet::all(),
            ),
            (
                "block net 0.0.0.0/0",
                Action::Block,
                Types::All,
                networks(&["0.0.0.0/0"]),
            ),
        ] {
            let rules = rules(&format!("acl {{\n {line}\n}}")).unwrap();
            let want = Policy {
                action,
                types,
                networks: sources,
            };
            assert_eq!(rules[0].policies, [want], "{line}");
        }
    }

    #[test]
    fn zones_are_those_given_or_those_of_the_block() {
        let rules = rules("acl\nacl a.example.org 192.0.2.0/24 {\n block\n drop\n}").unwrap();
        let zones = |rule: &Rule| {
            rule.zones
                .iter()
                .map(Zone::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(zones(&rules[0]), "example.org.");
        assert_eq!(zones(&rules[1]), "a.example.org. 2.0.192.in-addr.arpa.");
        assert_eq!((rules[0].policies.len(), rules[1].policies.len()), (0, 2));
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        let types = "expected a query type in capitals, such as AAAA, or *";
        let network = "expected a network such as 192.0.2.0/24, or an IP address";
        for (line, want) in [
            (
                "deny",
                "Corefile:2:2: unknown option `deny` (one of: allow, block, filter, drop)".to_owned(),
            ),
            (
                "block A",
                "Corefile:2:8: got `A`, expected `type` or `net`".to_owned(),
            ),
            ("block type a", format!("Corefile:2:13: got `a`, {types}")),
            ("block type AXYZ", format!("Corefile:2:13: got `AXYZ`, {types}")),
            ("block type TYPE1", format!("Corefile:2:13: got `TYPE1`, {types}")),
            (
                "block type",
                "Corefile:2:8: nothing stands in the section `type`, expected QTYPE...".to_owned(),
            ),
            (
                "block type net ::/0",
                "Corefile:2:8: nothing stands in the section `type`, expected QTYPE...".to_owned(),
            ),
            (
                "block type A net",
                "Corefile:2:15: nothing stands in the section `net`, expected SOURCE...".to_owned(),
            ),
            (
                "block net 192.0.2.0/33",
                format!("Corefile:2:12: got `192.0.2.0/33`, {network}"),
            ),
            (
                "block net 192.0.2",
                format!("Corefile:2:12: got `192.0.2`, {network}"),
            ),
            (
                "block net example.org",
                format!("Corefile:2:12: got `example.org`, {network}"),
            ),
            ("block {\n }", "Corefile:2:2: `block` takes no block".to_owned()),
        ] {
            let errors = rules(&format!("acl {{\n {line}\n}}")).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "{line}");
        }
        let errors = rules("acl {\n block type mx\n deny\n}").unwrap_err();
        assert_eq!(errors.as_slice()[0].suggestion(), Some("MX"));
        assert_eq!(errors.as_slice().len(), 2, "all lines are looked at");
    }
}
