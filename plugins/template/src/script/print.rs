//! A template as Go prints it, which is how CoreDNS's metrics name it.

use std::fmt::Write as _;

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, PipeNode, SmolStr};

/// Prints a template. Numbers and texts stand as in `source`.
pub(super) fn list(list: &ListNode, source: &str) -> String {
    let mut printer = Printer {
        out: String::with_capacity(source.len()),
        source,
    };
    printer.list(list);
    printer.out
}

/// Prints one command.
pub(super) fn command(command: &CommandNode, source: &str) -> String {
    let mut printer = Printer {
        out: String::new(),
        source,
    };
    printer.command(command);
    printer.out
}

struct Printer<'a> {
    out: String,
    source: &'a str,
}

impl Printer<'_> {
    fn list(&mut self, list: &ListNode) {
        list.nodes.iter().for_each(|node| self.node(node));
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::List(list) => self.list(list),
            Node::Text(text) => self.out.push_str(&text.text),
            Node::Action(action) => {
                self.out.push_str("{{");
                self.pipe(&action.pipe);
                self.out.push_str("}}");
            }
            Node::If(branch) => self.branch("if", branch),
            Node::Range(branch) => self.branch("range", branch),
            Node::With(branch) => self.branch("with", branch),
            Node::Template(call) => {
                // Writing to a text does not fail.
                let _ = write!(self.out, "{{{{template {:?}", call.name.as_str());
                if let Some(pipe) = &call.pipe {
                    self.out.push(' ');
                    self.pipe(pipe);
                }
                self.out.push_str("}}");
            }
            Node::Define(_) => {}
            Node::Break(_) => self.out.push_str("{{break}}"),
            Node::Continue(_) => self.out.push_str("{{continue}}"),
        }
    }

    fn branch(&mut self, word: &str, branch: &BranchNode) {
        let _ = write!(self.out, "{{{{{word} ");
        self.pipe(&branch.pipe);
        self.out.push_str("}}");
        self.list(&branch.body);
        if let Some(otherwise) = &branch.else_body {
            self.out.push_str("{{else}}");
            self.list(otherwise);
        }
        self.out.push_str("{{end}}");
    }

    fn pipe(&mut self, pipe: &PipeNode) {
        if !pipe.decl.is_empty() {
            self.out.push_str(&pipe.decl.join(", "));
            self.out.push_str(if pipe.is_assign { " = " } else { " := " });
        }
        for (place, command) in pipe.commands.iter().enumerate() {
            if place > 0 {
                self.out.push_str(" | ");
            }
            self.command(command);
        }
    }

    fn command(&mut self, command: &CommandNode) {
        for (place, arg) in command.args.iter().enumerate() {
            if place > 0 {
                self.out.push(' ');
            }
            self.expr(arg);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Dot(_) => self.out.push('.'),
            Expr::Nil(_) => self.out.push_str("nil"),
            Expr::Bool(_, value) => {
                let _ = write!(self.out, "{value}");
            }
            Expr::Field(_, path) => self.path(path),
            Expr::Variable(_, name, path) => {
                self.out.push_str(name);
                self.path(path);
            }
            Expr::Identifier(_, name) => self.out.push_str(name),
            Expr::String(pos, _) => self.out.push_str(quoted(self.source, pos.offset)),
            Expr::Number(pos, _) => self.out.push_str(number(self.source, pos.offset)),
            Expr::Pipe(_, pipe) => {
                self.out.push('(');
                self.pipe(pipe);
                self.out.push(')');
            }
            Expr::Chain(_, inner, path) => {
                self.expr(inner);
                self.path(path);
            }
        }
    }

    fn path(&mut self, path: &[SmolStr]) {
        for name in path {
            self.out.push('.');
            self.out.push_str(name);
        }
    }
}

/// The text with its quotes that begins at `at`.
fn quoted(source: &str, at: usize) -> &str {
    let text = source.get(at..).unwrap_or_default();
    let Some(&quote) = text.as_bytes().first() else {
        return text;
    };
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((place, byte)) = bytes.next() {
        if byte == b'\\' && quote != b'`' {
            bytes.next();
        } else if byte == quote {
            return &text[..=place];
        }
    }
    text
}

/// The number or character that begins at `at`.
fn number(source: &str, at: usize) -> &str {
    let text = source.get(at..).unwrap_or_default();
    if text.starts_with('\'') {
        return quoted(source, at);
    }
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(byte);
    let len = text.bytes().take_while(|byte| belongs(byte)).count();
    &text[..len]
}
