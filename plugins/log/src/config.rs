//! Reads the `log` directives.

use catena_core::corefile::{Collector, ConfigError, ConfigErrors, Directive, Span, Token};
use catena_core::message::{QName, Zone};

use crate::classify::Class;
use crate::format::{COMMON, Format};

const OPTIONS: &[&str] = &["class"];

/// Which queries are logged, and how. The first rule whose name fits decides, even if its classes do not.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Names at and below it are meant; none for a word that can be no name, below which there is nothing.
    scope: Option<Zone>,
    /// The classes of answers that are logged.
    pub(crate) classes: Classes,
    /// What a line looks like.
    pub(crate) format: Format,
}

impl Rule {
    /// Whether the rule decides about this name.
    #[inline]
    pub(crate) fn covers(&self, name: &QName) -> bool {
        self.scope.as_ref().is_some_and(|scope| name.is_within(scope))
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes(u8);

impl Classes {
    /// All of them.
    pub(crate) const ALL: Self = Self(u8::MAX);

    const NAMES: &[&'static str] = &["all", "denial", "error", "success"];

    const fn of(class: Class) -> Self {
        Self(1 << class as u8)
    }

    fn of_names(names: &[Token]) -> Result<Self, ConfigError> {
        let mut classes = Self(0);
        for name in names {
            classes.0 |= match name.one_of(Self::NAMES)? {
                "denial" => Self::of(Class::Denial),
                "error" => Self::of(Class::Error),
                "success" => Self::of(Class::Success),
                _ => Self::ALL,
            }
            .0;
        }
        Ok(classes)
    }

    /// Whether the class is one of these.
    pub(crate) const fn contains(self, class: Class) -> bool {
        self.0 & Self::of(class).0 != 0
    }
}

/// The rules of a block, and what is odd about them without being wrong.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) rules: Vec<Rule>,
    pub(crate) warnings: Vec<(Span, String)>,
}

/// Reads all directives of a block.
pub(crate) fn parse(directives: &[Directive], metadata: bool) -> Result<Parsed, ConfigErrors> {
    let mut errors = Collector::default();
    let mut parsed = Parsed {
        rules: Vec::new(),
        warnings: Vec::new(),
    };
    for directive in directives {
        let classes = classes(directive, &mut errors);
        let (names, format) = split(directive.args());
        let format = Format::parse(format.map_or(COMMON, Token::as_str), metadata);
        if names.is_empty() {
            parsed.rules.push(Rule {
                scope: Some(Zone::root()),
                classes,
                format: format.clone(),
            });
        }
        for name in names {
            match scope(name, &mut parsed.warnings) {
                Ok(scope) => parsed.rules.push(Rule {
                    scope,
                    classes,
                    format: format.clone(),
                }),
                Err(error) => errors.push(error),
            }
        }
    }
    errors.finish(parsed)
}

/// Tells the names from the format: the last of several arguments, if it has a brace.
fn split(args: &[Token]) -> (&[Token], Option<&Token>) {
    match args {
        [names @ .., format] if !names.is_empty() && format.as_str().contains('{') => (names, Some(format)),
        names => (names, None),
    }
}

fn scope(name: &Token, warnings: &mut Vec<(Span, String)>) -> Result<Option<Zone>, ConfigError> {
    let scope = name.as_str().parse();
    if name.as_str().contains('{') {
        let text = format!(
            "`{name}` is taken as a name, not as a format: write `log . FORMAT`, with the format in quotes if it has \
             blanks"
        );
        warnings.push((name.span().clone(), text));
        return Ok(scope.ok());
    }
    scope
        .map(Some)
        .map_err(|error| name.expected("a name").with_note(error.to_string()))
}

fn classes(directive: &Directive, errors: &mut Collector) -> Classes {
    let mut classes: Option<Classes> = None;
    for option in directive.options() {
        let read = match option.name() {
            "class" => option.at_least(1, "CLASSES...").and_then(Classes::of_names),
            _ => Err(option.unknown_option(OPTIONS)),
        };
        if let Some(more) = errors.take(read) {
            classes = Some(Classes(classes.map_or(0, |classes| classes.0) | more.0));
        }
    }
    classes.unwrap_or(Classes::ALL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::corefile::testing::parse_directives;

    fn parse_text(text: &str) -> Result<Parsed, ConfigErrors> {
        parse(&parse_directives(text).unwrap(), false)
    }

    /// Scope and classes of each rule.
    fn shown(text: &str) -> Vec<String> {
        let rule = |rule: &Rule| {
            let classes = [Class::Success, Class::Denial, Class::Error];
            let names: Vec<_> = classes
                .into_iter()
                .filter(|class| rule.classes.contains(*class))
                .map(Class::name)
                .collect();
            format!(
                "{} {}",
                rule.scope.as_ref().map_or("-", Zone::as_str),
                names.join("+")
            )
        };
        parse_text(text).unwrap().rules.iter().map(rule).collect()
    }

    #[test]
    fn names_and_classes_are_read() {
        for (text, want) in [
            ("log", &[". success+denial+error"][..]),
            ("log Example.ORG", &["example.org. success+denial+error"]),
            (
                "log a b. {common} {\n class denial\n class error\n}",
                &["a. denial+error", "b. denial+error"],
            ),
            ("log . {\n class success all\n}", &[". success+denial+error"]),
            (
                "log a {\n}\nlog b {\n class success\n}",
                &["a. success+denial+error", "b. success"],
            ),
            ("log a b", &["a. success+denial+error", "b. success+denial+error"]),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn the_last_of_several_arguments_is_a_format_if_it_has_a_brace() {
        for (text, want) in [
            ("log", Format::parse(COMMON, false)),
            ("log a", Format::parse(COMMON, false)),
            ("log a b", Format::parse(COMMON, false)),
            ("log a {combined}", Format::parse("{combined}", false)),
            ("log a b \"{name} {type}\"", Format::parse("{name} {type}", false)),
        ] {
            let parsed = parse_text(text).unwrap();
            assert_eq!(parsed.rules.last().unwrap().format, want, "{text}");
            assert!(parsed.warnings.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_format_in_the_place_of_a_name_is_a_warning_and_logs_nothing() {
        let long = format!("log \"{{remote}} {}\"", "x".repeat(300));
        for (text, scope) in [
            ("log \"{name} {type}\"", true),
            (long.as_str(), false),
            ("log {name} {type}", true),
        ] {
            let parsed = parse_text(text).unwrap();
            assert_eq!(parsed.warnings.len(), 1, "{text}");
            assert!(
                parsed.warnings[0]
                    .1
                    .contains("is taken as a name, not as a format"),
                "{text}"
            );
            assert_eq!(parsed.rules[0].scope.is_some(), scope, "{text}");
            assert!(
                !parsed.rules[0].covers(&"a.example.org".parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_input_is_refused_with_place_and_advice() {
        for (case, text, want) in [
            (
                "unknown class",
                "log {\n class nxdomain\n}",
                "Corefile:2:8: got `nxdomain`, expected one of: all, denial, error, success",
            ),
            (
                "no class",
                "log {\n class\n}",
                "Corefile:2:2: wrong argument count after `class`, expected CLASSES...",
            ),
            (
                "unknown option",
                "log {\n klass all\n}",
                "Corefile:2:2: unknown option `klass` (one of: class)",
            ),
            (
                "block behind a class",
                "log {\n class all {\n }\n}",
                "Corefile:2:2: `class` takes no block",
            ),
            ("no name", "log a..b", "Corefile:1:5: got `a..b`, expected a name"),
        ] {
            let errors = parse_text(text).unwrap_err();
            assert_eq!(errors.as_slice()[0].headline(), want, "case {case}");
        }
    }

    #[test]
    fn errors_of_several_directives_come_at_once() {
        let errors = parse_text("log {\n class x\n}\nlog a..b\nlog {\n classs all\n}").unwrap_err();
        assert_eq!(errors.as_slice().len(), 3);
        assert_eq!(errors.as_slice()[2].suggestion(), Some("class"));
    }
}
