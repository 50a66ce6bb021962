//! Weaves all mutants of a file into it, each behind a question whether it is switched on. So the tests are built once, and not
//! once for each mutant.
//!
//! `a == b` becomes `(if on(7) { a != b } else { a == b })`; a body gets `if on(8) { return true; }` in front; a deleted arm
//! of a `match` gets the guard `if !on(9)`. Only one mutant is on in a run, so what stands in a mutated branch is the plain text.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Expr, ExprBinary, ExprStruct, ExprUnary};

use crate::mutant::Mutant;

/// A part of the source that one or more mutants change.
struct Site {
    range: Range<usize>,
    kind: Kind,
    /// The number of each mutant, and the text that it puts in place of the site.
    variants: Vec<(usize, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Body,
    Expression,
    /// An empty range after the pattern of an arm.
    Arm,
}

/// A file with its mutants, and where in it each is.
pub(crate) struct Woven {
    pub(crate) text: String,
    /// The texts of single mutants.
    variants: Vec<(Range<usize>, usize)>,
    /// Whole sites, with their mutants.
    sites: Vec<(Range<usize>, Vec<usize>)>,
}

/// Whom the compiler's error is about.
pub(crate) enum Blame {
    /// The mutant itself does not compile.
    Variant(usize),
    /// These cannot be asked for there: in a `const fn`, for example.
    Site(Vec<usize>),
    Nobody,
}

impl Woven {
    pub(crate) fn blame(&self, at: usize) -> Blame {
        let variant = self
            .variants
            .iter()
            .filter(|(range, _)| range.contains(&at))
            .min_by_key(|(range, _)| range.len());
        if let Some((_, number)) = variant {
            return Blame::Variant(*number);
        }
        let site = self
            .sites
            .iter()
            .filter(|(range, _)| range.contains(&at))
            .min_by_key(|(range, _)| range.len());
        site.map_or(Blame::Nobody, |(_, numbers)| Blame::Site(numbers.clone()))
    }
}

/// Where the nodes of the syntax tree are that mutants change.
#[derive(Default)]
struct Nodes {
    /// From the first byte of an operator to its expression.
    operators: HashMap<usize, Range<usize>>,
    structs: Vec<Range<usize>>,
    /// From the first byte of an arm to the end of its pattern.
    arms: HashMap<usize, usize>,
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range()
}

/// Whether it is a chain with a `let`, which cannot stand in parentheses.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, op: BinOp::And(_), right, .. }) => {
            has_let(left) || has_let(right)
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Nodes {
    fn visit_expr_binary(&mut self, node: &'ast ExprBinary) {
        if !has_let(&node.left) && !has_let(&node.right) {
            self.operators.insert(bytes(node.op.span()).start, bytes(node.span()));
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast ExprUnary) {
        self.operators.insert(bytes(node.op.span()).start, bytes(node.span()));
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast ExprStruct) {
        self.structs.push(bytes(node.span()));
        visit::visit_expr_struct(self, node);
    }

    fn visit_arm(&mut self, node: &'ast Arm) {
        if node.guard.is_none() {
            self.arms.insert(bytes(node.span()).start, bytes(node.pat.span()).end);
        }
        visit::visit_arm(self, node);
    }
}

/// The site of a mutant, and the text that it has there.
fn place(mutant: &Mutant, text: &str, nodes: &Nodes) -> Option<(Range<usize>, Kind, String)> {
    let span = mutant.span.start.offset_in(text)..mutant.span.end.offset_in(text);
    let replaced = |site: Range<usize>| {
        let changed = format!(
            "{}{}{}",
            &text[site.start..span.start],
            mutant.replacement,
            &text[span.end..site.end]
        );
        (site, Kind::Expression, changed)
    };
    match mutant.genre.as_str() {
        "FnValue" => Some((span, Kind::Body, mutant.replacement.clone())),
        "BinaryOperator" | "UnaryOperator" => {
            nodes.operators.get(&span.start).cloned().map(replaced)
        }
        "MatchArmGuard" => Some(replaced(span.clone())),
        "MatchArm" => nodes.arms.get(&span.start).map(|end| (*end..*end, Kind::Arm, String::new())),
        "StructField" => {
            let around =
                nodes.structs.iter().filter(|it| it.start <= span.start && span.end <= it.end);
            around.min_by_key(|it| it.len()).cloned().map(replaced)
        }
        _ => None,
    }
}

/// Weaves these mutants into the text of their file. Returns also the numbers of those for which it knows no way.
pub(crate) fn weave(text: &str, mutants: &[(usize, &Mutant)]) -> (Woven, HashSet<usize>) {
    let mut nodes = Nodes::default();
    if mutants.is_empty() {
        return (
            Woven { text: text.to_owned(), variants: Vec::new(), sites: Vec::new() },
            HashSet::new(),
        );
    }
    nodes.visit_file(&syn::parse_file(text).expect("the source is Rust"));
    let mut sites: Vec<Site> = Vec::new();
    let mut left = HashSet::new();
    for (number, mutant) in mutants {
        let Some((range, kind, changed)) = place(mutant, text, &nodes) else {
            left.insert(*number);
            continue;
        };
        match sites.iter_mut().find(|it| it.range == range && it.kind == kind) {
            Some(site) => site.variants.push((*number, changed)),
            None => sites.push(Site { range, kind, variants: vec![(*number, changed)] }),
        }
    }
    // From the outside in.
    sites.sort_by_key(|it| (it.range.start, usize::MAX - it.range.end, it.kind));
    let mut woven = Woven { text: String::new(), variants: Vec::new(), sites: Vec::new() };
    render(text, 0..text.len(), &sites, &mut woven);
    (woven, left)
}

/// Appends this range of the text, with the sites that are in it.
fn render(text: &str, range: Range<usize>, mut sites: &[Site], woven: &mut Woven) {
    let mut at = range.start;
    while let Some((site, others)) = sites.split_first() {
        let inside = others.iter().take_while(|it| it.range.start < site.range.end).count();
        let (inside, after) = others.split_at(inside);
        woven.text.push_str(&text[at..site.range.start]);
        let start = woven.text.len();
        open(site, woven);
        render(text, site.range.clone(), inside, woven);
        if site.kind == Kind::Expression {
            woven.text.push_str("})");
        }
        let numbers = site.variants.iter().map(|(number, _)| *number).collect();
        woven.sites.push((start..woven.text.len(), numbers));
        at = site.range.end;
        sites = after;
    }
    woven.text.push_str(&text[at..range.end]);
}

/// Appends the questions of a site, and its variants.
fn open(site: &Site, woven: &mut Woven) {
    if site.kind == Kind::Expression {
        woven.text.push('(');
    }
    for (number, changed) in &site.variants {
        let (before, after) = match site.kind {
            Kind::Body => (format!("if crate::mutant::is_on({number}) {{ return "), "; }\n"),
            Kind::Expression => (format!("if crate::mutant::is_on({number}) {{ "), " } else "),
            Kind::Arm => (format!(" if !crate::mutant::is_on({number})"), ""),
        };
        woven.text.push_str(&before);
        let start = woven.text.len();
        woven.text.push_str(changed);
        if site.kind != Kind::Arm {
            woven.variants.push((start..woven.text.len(), *number));
        }
        woven.text.push_str(after);
    }
    if site.kind == Kind::Expression {
        woven.text.push('{');
    }
}

/// Puts one mutant into the text for good.
pub(crate) fn put(text: &str, mutant: &Mutant) -> String {
    let (start, end) = (mutant.span.start.offset_in(text), mutant.span.end.offset_in(text));
    format!("{}{}{}", &text[..start], mutant.replacement, &text[end..])
}
