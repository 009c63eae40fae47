//! Brings a template to where the crate runs it as Go would, and checks what Go checks at the start.
//!
//! - A field or method, `.A.B x`, becomes a call of [`FIELD`], since data with methods is what the crate does not know.
//! - What an action prints goes through [`SHOW`], since objects are printed by their method String.
//! - `{{ template "x" }}` hands nil on, not the dot.
//! - Functions and variables must be known.

use std::collections::BTreeSet;

use gotmpl::parse::{BranchNode, CommandNode, DefineNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr};

use super::functions::{BUILTIN, FIELD, NIL, PRINTING, SHOW};

/// Adapts a template and those that it defines.
/// Gives the names of all fields.
pub(super) fn all(tree: &mut ListNode, defines: &mut [DefineNode]) -> Result<BTreeSet<SmolStr>, String> {
    let mut adapter = Adapter::default();
    for body in std::iter::once(tree).chain(defines.iter_mut().map(|define| &mut define.body)) {
        adapter.variables = vec![SmolStr::new_static("$")];
        adapter.list(body)?;
    }
    Ok(adapter.named)
}

#[derive(Default)]
struct Adapter {
    /// The variables that are known here, those of inner blocks last.
    variables: Vec<SmolStr>,
    /// The fields that were met.
    named: BTreeSet<SmolStr>,
}

impl Adapter {
    fn list(&mut self, list: &mut ListNode) -> Result<(), String> {
        list.nodes.iter_mut().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &mut Node) -> Result<(), String> {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => {
                self.pipe(&mut action.pipe)?;
                if action.pipe.decl.is_empty() {
                    action.pipe.commands.push(call(SHOW, action.pos, []));
                }
                Ok(())
            }
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => self.branch(branch),
            Node::Template(call_of) => {
                if let Some(pipe) = &mut call_of.pipe {
                    return self.pipe(pipe);
                }
                call_of.pipe = Some(pipe_of(call_of.pos, call(NIL, call_of.pos, [])));
                Ok(())
            }
            Node::Text(_) | Node::Define(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    fn branch(&mut self, branch: &mut BranchNode) -> Result<(), String> {
        let outside = self.variables.len();
        self.pipe(&mut branch.pipe)?;
        let inside = self.variables.len();
        self.list(&mut branch.body)?;
        self.variables.truncate(inside);
        if let Some(otherwise) = &mut branch.else_body {
            self.list(otherwise)?;
        }
        self.variables.truncate(outside);
        Ok(())
    }

    fn pipe(&mut self, pipe: &mut PipeNode) -> Result<(), String> {
        for (place, command) in pipe.commands.iter_mut().enumerate() {
            if place > 0 && !is_executable(command) {
                return Err(format!("non executable command in pipeline stage {}", place + 1));
            }
            self.command(command)?;
        }
        for name in &pipe.decl {
            if pipe.is_assign {
                self.known(name)?;
            } else {
                self.variables.push(name.clone());
            }
        }
        Ok(())
    }

    fn command(&mut self, command: &mut CommandNode) -> Result<(), String> {
        let printing = matches!(
            command.args.first(),
            Some(Expr::Identifier(_, name)) if PRINTING.contains(&name.as_str())
        );
        // A field that comes first may be a method, to which the other words are arguments.
        let mut args = std::mem::take(&mut command.args).into_iter();
        if let Some(first) = args.next() {
            match self.parts(first)? {
                (receiver, Some(path)) => {
                    command.args = call(FIELD, command.pos, [receiver, path]).args;
                }
                (receiver, None) => command.args.push(receiver),
            }
        }
        for arg in args {
            let arg = self.expr(arg)?;
            let may_be_object = matches!(arg, Expr::Dot(_) | Expr::Pipe(..) | Expr::Variable(..));
            command.args.push(if printing && may_be_object {
                let pos = arg.pos();
                Expr::Pipe(pos, pipe_of(pos, call(SHOW, pos, [arg])))
            } else {
                arg
            });
        }
        Ok(())
    }

    /// An expression as an argument.
    fn expr(&mut self, expr: Expr) -> Result<Expr, String> {
        let pos = expr.pos();
        Ok(match self.parts(expr)? {
            (receiver, None) => receiver,
            (receiver, Some(path)) => Expr::Pipe(pos, pipe_of(pos, call(FIELD, pos, [receiver, path]))),
        })
    }

    /// Splits the path of fields off, if there is one.
    fn parts(&mut self, expr: Expr) -> Result<(Expr, Option<Expr>), String> {
        if let Expr::Field(_, path) | Expr::Variable(_, _, path) | Expr::Chain(_, _, path) = &expr {
            self.named.extend(path.iter().cloned());
        }
        let path_of =
            |pos: Pos, path: &[SmolStr]| (!path.is_empty()).then(|| Expr::String(pos, path.join(".").into()));
        Ok(match expr {
            Expr::Field(pos, path) => (Expr::Dot(pos), path_of(pos, &path)),
            Expr::Variable(pos, name, path) => {
                self.known(&name)?;
                (Expr::Variable(pos, name, Vec::new()), path_of(pos, &path))
            }
            Expr::Chain(pos, inner, path) => (self.expr(*inner)?, path_of(pos, &path)),
            Expr::Pipe(pos, mut pipe) => {
                self.pipe(&mut pipe)?;
                (Expr::Pipe(pos, pipe), None)
            }
            Expr::Identifier(pos, name) => {
                if !BUILTIN.contains(&name.as_str()) {
                    return Err(format!("function {:?} not defined", name.as_str()));
                }
                (Expr::Identifier(pos, name), None)
            }
            other => (other, None),
        })
    }

    fn known(&self, name: &SmolStr) -> Result<(), String> {
        if self.variables.contains(name) {
            return Ok(());
        }
        Err(format!("undefined variable {:?}", name.as_str()))
    }
}

/// A pipeline of one command.
fn pipe_of(pos: Pos, command: CommandNode) -> PipeNode {
    PipeNode {
        pos,
        decl: Vec::new(),
        commands: vec![command],
        is_assign: false,
    }
}

fn call<const N: usize>(function: &'static str, pos: Pos, args: [Expr; N]) -> CommandNode {
    let mut all = vec![Expr::Identifier(pos, SmolStr::new_static(function))];
    all.extend(args);
    CommandNode { pos, args: all }
}

/// Whether a command can take what a pipeline hands it.
fn is_executable(command: &CommandNode) -> bool {
    !matches!(
        command.args.first(),
        None | Some(Expr::Bool(..) | Expr::Dot(..) | Expr::Nil(..) | Expr::Number(..) | Expr::String(..))
    )
}
