//! Reads the `template` directives.

use std::collections::BTreeSet;

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Token};
use catena_core::message::{Rcode, Zone};
use catena_core::plugin::Fallthrough;
use catena_records::{class_code, type_code};

use crate::pattern::Pattern;
use crate::rule::{Extended, Rule};
use crate::script::Script;

/// The lines that a block can have.
const OPTIONS: &[&str] = &[
    "match",
    "answer",
    "additional",
    "authority",
    "rcode",
    "ederror",
    "fallthrough",
    "upstream",
];

/// Reads all directives; `block` are the zones of the server block.
pub(crate) fn parse(directives: &[Directive], block: &[Zone]) -> Result<Vec<Rule>, ConfigErrors> {
    let mut errors = Collector::default();
    let mut rules = Vec::with_capacity(directives.len());
    for directive in directives {
        let mut rule = errors.take(head(directive, block));
        for line in directive.options() {
            let mut unused = empty();
            let rule = rule.as_mut().unwrap_or(&mut unused);
            errors.take(option(line, rule));
        }
        rules.extend(rule);
    }
    rules.iter_mut().for_each(finish);
    errors.finish(rules)
}

fn empty() -> Rule {
    Rule {
        zones: Vec::new(),
        class: 0,
        rtype: 0,
        patterns: Vec::new(),
        answer: Vec::new(),
        additional: Vec::new(),
        authority: Vec::new(),
        rcode: Rcode::NOERROR,
        extended: None,
        fallthrough: Fallthrough::default(),
        needs_groups: false,
        named: BTreeSet::new(),
    }
}

/// Reads `CLASS TYPE [ZONE...]`.
fn head(directive: &Directive, block: &[Zone]) -> Result<Rule, ConfigError> {
    let [class, rtype, zones @ ..] = directive.at_least(2, "CLASS TYPE [ZONE...]")? else {
        return Err(directive.error("no class and type"));
    };
    let mut rule = Rule {
        class: code(class, class_code, "a class in capitals, such as IN or ANY")?,
        rtype: code(rtype, type_code, "a query type in capitals, such as AAAA or ANY")?,
        ..empty()
    };
    for zone in zones {
        rule.zones.extend(zone.zones()?);
    }
    if zones.is_empty() {
        rule.zones = block.to_vec();
    }
    Ok(rule)
}

fn code(word: &Token, read: fn(&str) -> Option<u16>, expected: &str) -> Result<u16, ConfigError> {
    read(word.as_str()).ok_or_else(|| {
        let capitals = word.as_str().to_ascii_uppercase();
        let error = word.expected(expected);
        match read(&capitals) {
            Some(_) => error.with_suggestion(capitals),
            None => error,
        }
    })
}

/// Reads one line of a block.
fn option(line: &Directive, rule: &mut Rule) -> Result<(), ConfigErrors> {
    match line.name() {
        "match" => rule
            .patterns
            .extend(each(line.at_least(1, "REGEX...")?, Pattern::read)?),
        "answer" => rule.answer.extend(scripts(line, "answer")?),
        "additional" => rule.additional.extend(scripts(line, "additional")?),
        "authority" => rule.authority.extend(scripts(line, "authority")?),
        "rcode" => rule.rcode = rcode(line.one_arg("CODE")?)?,
        "ederror" => {
            let args = line.args_between(1..=2, "CODE [REASON]")?;
            let code = args[0].count(0..=u64::from(u16::MAX))?;
            rule.extended = Some(Extended {
                code: code as u16,
                text: args
                    .get(1)
                    .map_or_else(String::new, |reason| reason.as_str().to_owned()),
            });
        }
        "fallthrough" => rule.fallthrough = Fallthrough::from_option(line)?,
        // Targets of CNAME records are always looked up; the option was needed once.
        "upstream" => drop(line.at_least(0, "nothing")?),
        _ => return Err(line.unknown_option(OPTIONS).into()),
    }
    Ok(())
}

fn scripts(line: &Directive, section: &'static str) -> Result<Vec<Script>, ConfigErrors> {
    each(line.at_least(1, "RECORD...")?, |word| {
        Script::compile(section, word.as_str()).map_err(|error| {
            word.error(format!("the {section} is no template"))
                .with_note(error.to_string())
        })
    })
}

/// Reads all words, and tells of each that is wrong.
fn each<T>(words: &[Token], read: impl Fn(&Token) -> Result<T, ConfigError>) -> Result<Vec<T>, ConfigErrors> {
    let mut errors = Collector::default();
    let values = words.iter().filter_map(|word| errors.take(read(word))).collect();
    errors.finish(values)
}

fn rcode(word: &Token) -> Result<Rcode, ConfigError> {
    let text = word.as_str();
    let capitals = text.to_ascii_uppercase();
    match Rcode::from_name(text) {
        Some(rcode) if text == capitals => Ok(rcode),
        found => {
            let error = word.expected("a response code in capitals, such as NXDOMAIN");
            Err(match found {
                Some(_) => error.with_suggestion(capitals),
                None => {
                    let known = (0..24).filter_map(|code| Rcode(code).name());
                    error.with_nearest(text, known)
                }
            })
        }
    }
}

/// Fills in what follows from all lines of a block.
fn finish(rule: &mut Rule) {
    if rule.patterns.is_empty() {
        rule.patterns.push(Pattern::everything());
    }
    for script in rule.answer.iter().chain(&rule.additional).chain(&rule.authority) {
        rule.needs_groups |= script.needs_groups();
        rule.named.extend(script.named().cloned());
    }
}

#[cfg(test)]
mod tests;
