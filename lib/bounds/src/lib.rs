//! Reads the blocks of plugins that bound what a kind of listener takes: `https`, `https3`, `quic` and `grpc_server`.

#![forbid(unsafe_code)]

use catena_core::corefile::{ConfigError, ConfigErrors, Directive, Scheme, Token};
use catena_core::plugin::{Bounds, Setup, once};

/// One option of such a plugin.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plugins list their options")]
pub struct Bound {
    /// Its name in the Corefile.
    pub option: &'static str,
    /// What 0 means.
    pub zero: Zero,
    /// Sets the bound.
    pub set: fn(&mut Bounds, usize),
}

/// What 0 means to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "plugins list their options")]
pub enum Zero {
    /// The server's own default.
    Default,
    /// It is an error.
    Refused,
    /// There is no bound.
    Unbounded,
}

/// Reads the directive of a plugin into the block's bounds of listeners of this kind.
///
/// # Errors
///
/// A directive that stands twice or has arguments; an option that is not known, is no number or stands twice.
pub fn read(setup: &mut Setup<'_>, scheme: Scheme, options: &[Bound]) -> Result<(), ConfigErrors> {
    let directive = once(setup.directives())?;
    let bounds = parse(directive, options)?;
    *setup.settings().bounds.of_mut(scheme) = bounds;
    Ok(())
}

fn parse(directive: &Directive, options: &[Bound]) -> Result<Bounds, ConfigError> {
    directive.no_args()?;
    let mut bounds = Bounds::default();
    let mut seen: Vec<&str> = Vec::new();
    for line in directive.options() {
        let Some(bound) = options.iter().find(|bound| bound.option == line.name()) else {
            let names: Vec<&str> = options.iter().map(|bound| bound.option).collect();
            return Err(line.unknown_option(&names));
        };
        line.no_block()?;
        let number = number(line.one_arg("a number")?, bound)?;
        if seen.contains(&bound.option) {
            let text = format!("{} already defined for this server block", bound.option);
            return Err(line.error(text));
        }
        seen.push(bound.option);
        if let Some(number) = number {
            (bound.set)(&mut bounds, number);
        }
    }
    Ok(bounds)
}

/// The number that a word says; none if that is the default.
fn number(word: &Token, bound: &Bound) -> Result<Option<usize>, ConfigError> {
    let least = u64::from(bound.zero == Zero::Refused);
    let number = word
        .count(least..=u64::from(u32::MAX))
        .map_err(|error| error.with_note(format!("invalid {}", bound.option)))?;
    Ok(match (number, bound.zero) {
        (0, Zero::Default) => None,
        (0, _) => Some(usize::MAX),
        // A number of 32 bits fits.
        (number, _) => Some(number as usize),
    })
}
