//! **What an object is called**: its number on a loop, and the line that created it.
//!
//! A number for the whole process would be simple, and another one in each run. So an object is numbered by the loop in which it is
//! created: the same program gives the same numbers. An object that is created outside of all loops, or is used in another one, is
//! numbered there when that loop first has to speak of it.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use crate::engine::Engine;
use crate::kernel::current::with_current_loop;

thread_local! {
    static LOOPS: Cell<u32> = const { Cell::new(0) };
}

/// Where an object was created, and the number that it got there.
#[derive(Clone, Copy)]
pub(crate) struct Born {
    pub(crate) at: &'static Location<'static>,
    /// The serial of the loop. Zero: it was created outside of all.
    by_loop: u32,
    number: u32,
}

impl Born {
    #[inline]
    #[track_caller]
    pub(crate) fn now() -> Born {
        let numbered =
            with_current_loop(|engine| (engine.objects.serial, engine.objects.next_number()));
        let (by_loop, number) = numbered.unwrap_or_default();
        Born { at: Location::caller(), by_loop, number }
    }
}

/// The numbers of an object.
pub(super) struct Identity {
    /// `None`: the object is a part of another one, or of a group.
    pub(super) born: Option<Born>,
    on_loops: RefCell<Vec<OnLoop>>,
}

#[derive(Clone, Copy)]
struct OnLoop {
    loop_serial: u32,
    number: u32,
    /// The traced run in which an observer was told of the object.
    told_in: u64,
}

impl Identity {
    pub(super) fn of(born: Option<Born>) -> Identity {
        let is_numbered = |born: &Born| born.by_loop > 0;
        let first = born.filter(is_numbered).map(|born| OnLoop {
            loop_serial: born.by_loop,
            number: born.number,
            told_in: 0,
        });
        Identity { born, on_loops: RefCell::new(first.into_iter().collect()) }
    }

    /// Its number on this loop. Zero if it has none.
    pub(super) fn number_on(&self, engine: &Engine) -> u32 {
        let on_loops = self.on_loops.borrow();
        let here = on_loops.iter().find(|it| it.loop_serial == engine.objects.serial);
        here.map_or(0, |here| here.number)
    }

    /// Its number on this loop, which gives it one if it has none.
    pub(super) fn number_by(&self, engine: &Engine) -> u32 {
        self.with(engine, |here| here.number)
    }

    /// Notes that an observer of this run is told of it. False if it was told before.
    pub(super) fn is_news_in(&self, engine: &Engine, run: u64) -> bool {
        self.with(engine, |here| std::mem::replace(&mut here.told_in, run) != run)
    }

    /// It has a new name: observers are told of it again.
    pub(super) fn is_renamed(&self) {
        self.on_loops.borrow_mut().iter_mut().for_each(|here| here.told_in = 0);
    }

    fn with<R>(&self, engine: &Engine, inspect: impl FnOnce(&mut OnLoop) -> R) -> R {
        let mut on_loops = self.on_loops.borrow_mut();
        let loop_serial = engine.objects.serial;
        let index = on_loops.iter().position(|it| it.loop_serial == loop_serial);
        let index = index.unwrap_or_else(|| {
            let number = engine.objects.next_number();
            on_loops.push(OnLoop { loop_serial, number, told_in: 0 });
            on_loops.len() - 1
        });
        inspect(&mut on_loops[index])
    }
}

/// The serial of a new loop among those of this thread.
pub(super) fn next_loop() -> u32 {
    LOOPS.replace(LOOPS.get().wrapping_add(1)).wrapping_add(1)
}
