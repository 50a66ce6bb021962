//! Generates random programs. A task awaits, shields and cancels only tasks of higher numbers, so nothing waits for itself.

use std::rc::Rc;

use crate::dice::Dice;
use crate::program::{Body, Kind, Loser, Node, Program, SLOTS};

/// Programs from this seed on have races and protections too. The others are as they were when there were none, so that the seeds that
/// have found something still do.
pub(crate) const WITH_RACES: u64 = 1 << 40;

struct Generator {
    dice: Dice,
    has_races: bool,
    tasks: Vec<Option<Body>>,
    ids: u32,
    /// Counts the nodes that may still be made.
    left: u32,
}

/// The surroundings of a node.
#[derive(Clone, Copy)]
struct Place {
    task: usize,
    depth: u32,
    /// A task under a lock awaits nothing that may wait for the lock.
    locked: bool,
    /// A protection in another one ends with that, which the model does not say.
    protected: bool,
}

impl Place {
    fn inside(self) -> Place {
        Place { depth: self.depth + 1, ..self }
    }
}

pub(crate) fn program(seed: u64) -> Program {
    let mut dice = Dice::new(seed);
    let left = 6 + u32::from(dice.below(30));
    let has_races = seed >= WITH_RACES;
    let mut generator = Generator { dice, has_races, tasks: Vec::new(), ids: 0, left };
    let roots = 1 + usize::from(generator.dice.below(3));
    let roots: Vec<_> = (0..roots).map(|_| generator.task(false)).collect();
    let tasks: Vec<_> =
        generator.tasks.into_iter().map(|task| task.expect("every task has a body")).collect();
    let mut dice = generator.dice;
    let cancels = (0..dice.below(5))
        .map(|_| (1 + dice.next() % 4_000_000, (dice.next() % tasks.len() as u64) as usize))
        .collect();
    Program { tasks, roots, cancels }
}

impl Generator {
    fn task(&mut self, may_fail: bool) -> usize {
        let task = self.tasks.len();
        self.tasks.push(None);
        let node = self.node(Place { task, depth: 0, locked: false, protected: false });
        let fails = may_fail && self.dice.one_in(4);
        // Nothing else happens in the moment in which it fails.
        let node = if fails { Rc::new(Node::Seq(vec![node, Rc::new(self.sleep())])) } else { node };
        self.tasks[task] = Some(Body { node, fails });
        task
    }

    fn id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn sleep(&mut self) -> Node {
        let id = self.id();
        Node::Sleep(id, 1 + self.dice.next() % 1_000_000)
    }

    fn several(&mut self, place: Place, at_most: u8) -> Vec<Rc<Node>> {
        let several = 1 + self.dice.below(at_most);
        (0..several).map(|_| self.node(place.inside())).collect()
    }

    /// Returns a task of a higher number that exists already, or a new one.
    fn other(&mut self, place: Place) -> Option<usize> {
        let others = self.tasks.len() - place.task - 1;
        (others > 0).then(|| place.task + 1 + (self.dice.next() % others as u64) as usize)
    }

    fn node(&mut self, place: Place) -> Rc<Node> {
        if self.left == 0 || place.depth > 5 {
            return Rc::new(self.sleep());
        }
        self.left -= 1;
        let inside = place.inside();
        let dice = self.dice.below(match place.locked {
            true => 10,
            false if self.has_races => 25,
            false => 21,
        });
        let node = match dice {
            0 | 1 => self.sleep(),
            2 => Node::Seq(self.several(place, 3)),
            3 => Node::Join(Kind::Join, self.several(place, 3)),
            4 => Node::Join(Kind::Unordered, self.several(place, 4)),
            5 | 6 => {
                let slot = usize::from(self.dice.below(SLOTS as u8));
                let loser = self.dice.pick(&[Loser::Kept(slot), Loser::Dropped]);
                // What is kept may be taken in a protection.
                let protected = place.protected || loser != Loser::Dropped;
                let inside = Place { protected, ..inside };
                Node::Select(self.id(), self.node(inside), self.node(inside), loser)
            }
            7 => {
                let limit = 1 + self.dice.next() % 1_500_000;
                Node::Limit(self.id(), limit, self.node(inside))
            }
            8 => Node::Catch(self.id(), self.node(inside), self.node(inside), self.dice.coin()),
            9 => Node::Finally(self.id(), self.node(inside), self.node(inside)),
            10 => {
                let take = Node::Take(self.id(), usize::from(self.dice.below(SLOTS as u8)));
                Node::Seq(vec![Rc::new(self.sleep()), Rc::new(take)])
            }
            11 | 12 => Node::Seq(vec![
                Rc::new(Node::Spawn(self.task(false))),
                self.node(inside),
                self.node(inside),
            ]),
            13 | 14 => {
                if let Some(other) = self.other(place) {
                    let awaits = Rc::new(Node::Await(self.id(), other));
                    Node::Seq(vec![Rc::new(self.sleep()), awaits])
                } else {
                    let task = self.task(false);
                    let awaits = Rc::new(Node::Await(self.id(), task));
                    Node::Seq(vec![Rc::new(Node::Spawn(task)), awaits])
                }
            }
            15 => match self.other(place) {
                Some(other) => {
                    let shields = Rc::new(Node::Shield(self.id(), other));
                    Node::Seq(vec![Rc::new(self.sleep()), shields])
                }
                None => self.sleep(),
            },
            16 => match self.other(place) {
                Some(other) => Node::Seq(vec![Rc::new(self.sleep()), Rc::new(Node::Cancel(other))]),
                None => self.sleep(),
            },
            17 => {
                let children = (0..=self.dice.below(3)).map(|_| self.task(true)).collect();
                Node::Group(self.id(), children, self.node(inside))
            }
            18 => {
                let children = (0..=self.dice.below(3)).map(|_| self.task(false)).collect();
                Node::Gather(self.id(), children)
            }
            21 | 22 => {
                let children = (0..=self.dice.below(3)).map(|_| self.task(false)).collect();
                Node::Race(self.id(), children)
            }
            23 | 24 if !place.protected => {
                let grace = 1 + self.dice.next() % 1_500_000;
                Node::Protect(self.id(), grace, self.node(Place { protected: true, ..inside }))
            }
            // No two tasks come to a line in one moment.
            19 => {
                let lock = Node::Lock(self.id(), self.node(Place { locked: true, ..inside }));
                Node::Seq(vec![Rc::new(self.sleep()), Rc::new(lock)])
            }
            _ => {
                let comes = if self.dice.coin() { Node::Put } else { Node::Get(self.id()) };
                Node::Seq(vec![Rc::new(self.sleep()), Rc::new(comes)])
            }
        };
        Rc::new(node)
    }
}
