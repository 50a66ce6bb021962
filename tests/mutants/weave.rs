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
use syn::{Arm, BinOp, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary};

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
    /// An empty range before what a `match` looks at. Its mutants are those of the arms.
    LookedAt,
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
    /// The first byte of what a `match` looks at, with the deleted arms. There the compiler says that an arm is missing.
    matches: Vec<(usize, Vec<usize>)>,
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
    fn of(text: String) -> Woven {
        Woven { text, variants: Vec::new(), sites: Vec::new(), matches: Vec::new() }
    }

    pub(crate) fn blame(&self, at: usize, is_out: impl Fn(usize) -> bool) -> Blame {
        // Which arm is missing is not said: the last one, whose pattern is the widest.
        let arms = self.matches.iter().find(|(start, _)| *start == at);
        let arm = arms.and_then(|(_, arms)| arms.iter().rfind(|it| !is_out(**it)));
        if let Some(number) = arm {
            return Blame::Variant(*number);
        }
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
    /// From the first byte of an arm to that of what the `match` looks at.
    looked_at: HashMap<usize, usize>,
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

    fn visit_expr_match(&mut self, node: &'ast ExprMatch) {
        let looked_at = bytes(node.expr.span()).start;
        let arms = node.arms.iter().map(|arm| (bytes(arm.span()).start, looked_at));
        self.looked_at.extend(arms);
        visit::visit_expr_match(self, node);
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
        return (Woven::of(text.to_owned()), HashSet::new());
    }
    nodes.visit_file(&syn::parse_file(text).expect("the source is Rust"));
    let mut sites: Vec<Site> = Vec::new();
    let mut left = HashSet::new();
    for (number, mutant) in mutants {
        let Some((range, kind, changed)) = place(mutant, text, &nodes) else {
            left.insert(*number);
            continue;
        };
        let mut add = |range: Range<usize>, kind, changed| match sites
            .iter_mut()
            .find(|it| it.range == range && it.kind == kind)
        {
            Some(site) => site.variants.push((*number, changed)),
            None => sites.push(Site { range, kind, variants: vec![(*number, changed)] }),
        };
        if kind == Kind::Arm {
            let looked_at = nodes.looked_at[&mutant.span.start.offset_in(text)];
            add(looked_at..looked_at, Kind::LookedAt, String::new());
        }
        add(range, kind, changed);
    }
    // From the outside in.
    sites.sort_by_key(|it| {
        (it.range.start, it.kind != Kind::LookedAt, usize::MAX - it.range.end, it.kind)
    });
    let mut woven = Woven::of(String::new());
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
        if site.kind == Kind::LookedAt {
            let arms = site.variants.iter().map(|(number, _)| *number).collect();
            woven.matches.push((start, arms));
            (at, sites) = (site.range.end, others);
            continue;
        }
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
            Kind::LookedAt => return,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A mutant of the first occurrence of `of`.
    fn mutant(text: &str, genre: &str, of: &str, replacement: &str) -> Mutant {
        let place = |at: usize| {
            let line = text[..at].matches('\n').count();
            let column = at - text[..at].rfind('\n').map_or(0, |it| it + 1);
            json!({ "line": line + 1, "column": column + 1 })
        };
        let start = text.find(of).unwrap();
        let span = json!({ "start": place(start), "end": place(start + of.len()) });
        let parts = json!({ "name": "", "file": "", "span": span, "replacement": replacement, "genre": genre });
        serde_json::from_value(parts).unwrap()
    }

    fn woven(text: &str, mutants: &[Mutant]) -> String {
        let mutants: Vec<(usize, &Mutant)> = mutants.iter().enumerate().collect();
        let (woven, left) = weave(text, &mutants);
        assert!(left.is_empty());
        woven.text.replace("crate::mutant::is_on", "on")
    }

    #[test]
    fn a_body_returns_before_it_begins() {
        let text = "fn f() -> bool {\n    g();\n    h()\n}";
        let mutants = ["true", "false"].map(|it| mutant(text, "FnValue", "g();\n    h()", it));
        let expected = "fn f() -> bool {\n    if on(0) { return true; }\nif on(1) { return false; }\ng();\n    h()\n}";
        assert_eq!(woven(text, &mutants), expected);
    }

    #[test]
    fn an_operator_inside_another_is_asked_for_in_the_plain_branch_only() {
        let text = "fn f() { x(a == b && !c) }";
        let mutants = [
            mutant(text, "BinaryOperator", "&&", "||"),
            mutant(text, "BinaryOperator", "==", "!="),
            mutant(text, "UnaryOperator", "!", ""),
        ];
        let expected = "fn f() { x((if on(0) { a == b || !c } else {(if on(1) { a != b } else {a == b}) && \
                        (if on(2) { c } else {!c})})) }";
        assert_eq!(woven(text, &mutants), expected);
    }

    #[test]
    fn an_arm_is_deleted_by_a_guard_and_a_guard_becomes_a_constant() {
        let text = "fn f() { match x { A(..) => 1, B if y => 2, _ => 3 } }";
        let mutants = [
            mutant(text, "MatchArm", "A(..) => 1,", ""),
            mutant(text, "MatchArmGuard", "y", "true"),
        ];
        let expected = "fn f() { match x { A(..) if !on(0) => 1, B if (if on(1) { true } else {y}) => 2, _ => 3 } }";
        assert_eq!(woven(text, &mutants), expected);
    }

    /// The compiler does not see that a guard is always true. It says so where the `match` begins.
    #[test]
    fn of_a_match_that_needs_its_arms_the_last_one_is_to_blame() {
        let text = "fn f() { match !a { B => 1, C => 2, _ if d => 3 } }";
        let mutants = [
            mutant(text, "MatchArm", "B => 1,", ""),
            mutant(text, "MatchArm", "C => 2,", ""),
            mutant(text, "UnaryOperator", "!", ""),
        ];
        let mutants: Vec<(usize, &Mutant)> = mutants.iter().enumerate().collect();
        let (woven, _) = weave(text, &mutants);
        let at = woven.text.find("match ").unwrap() + "match ".len();
        assert!(matches!(woven.blame(at, |_| false), Blame::Variant(1)));
        assert!(matches!(woven.blame(at, |number| number == 1), Blame::Variant(0)));
        assert!(matches!(woven.blame(at, |_| true), Blame::Site(it) if it == [2]));
    }

    #[test]
    fn a_chain_with_a_let_cannot_be_asked_for() {
        let text = "fn f() { if a && let Some(b) = c {} }";
        let mutant = mutant(text, "BinaryOperator", "&&", "||");
        assert_eq!(weave(text, &[(7, &mutant)]).1, HashSet::from([7]));
    }
}
