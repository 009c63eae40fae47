//! Conditions on queries, in the expression language that `view` knows from CoreDNS (expr-lang).
//!
//! An expression is read and checked once: names that are not known and operands of the wrong types are errors then, not
//! when queries come. What is left is a tree that is evaluated without allocating for common conditions.
//!
//! ```
//! use catena_core::message::QueryBuilder;
//! use catena_expr::Expr;
//! use catena_facts::Surroundings;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let expr = Expr::parse("type() in ['A', 'AAAA'] && incidr(client_ip(), '192.0.2.0/24')")?;
//! let request = QueryBuilder::new("www.example.org.", 1_u16)?.to_request()?;
//! assert!(expr.holds(&request, &Surroundings::of("view")));
//! assert!(Expr::parse("type() == 1").is_err());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod bits;
mod builtin;
mod check;
mod dates;
mod eval;
mod json;
mod kind;
mod layout;
mod lists;
mod methods;
mod numbers;
mod parse;
mod query;
#[cfg(test)]
mod tests;
mod texts;
mod token;
mod tree;
mod value;

use catena_core::message::Request;
use catena_facts::Surroundings;

use check::Checked;
use query::Query;

/// An expression that cannot be used, and where: a place in characters, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at {place})")]
pub struct ExprError {
    /// Where in the expression.
    pub place: usize,
    /// What is wrong.
    pub message: String,
}

impl ExprError {
    pub(crate) fn at(place: usize, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
        }
    }
}

/// Longest expression, in bytes.
const MAX_LEN: usize = 10_000;

/// A condition.
#[derive(Debug)]
pub struct Expr {
    root: Checked,
}

impl Expr {
    /// Reads and checks an expression.
    ///
    /// # Errors
    ///
    /// It is malformed, too long or too deep, names what there is not, or has operands of the wrong types.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        if text.len() > MAX_LEN {
            return Err(ExprError::at(1, format!("longer than {MAX_LEN} bytes")));
        }
        let node = parse::parse(text)?;
        let (root, _) = check::check(&node)?;
        Ok(Self { root })
    }

    /// Whether the condition holds for a query. What fails, or is neither true nor false, does not.
    #[must_use]
    pub fn holds(&self, request: &Request, surroundings: &Surroundings) -> bool {
        let query = Query::new(request, surroundings);
        matches!(eval::eval(&self.root, &query, None), Ok(value::Value::Bool(true)))
    }
}
