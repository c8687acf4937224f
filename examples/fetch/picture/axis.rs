//! The picture's axis of time, from the beginning of a fetch to its end.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, Drawn, FAINT, GREY, PLOT, write};
use crate::words::duration;

/// More lines than this would be a fence.
const TICKS_MAX: u64 = 7;

/// Time on a linear scale.
pub(super) struct Axis {
    whole_ns: u64,
}

impl Axis {
    pub(super) fn over(whole_ns: u64) -> Axis {
        Axis { whole_ns: whole_ns.max(1) }
    }

    pub(super) fn x(&self, ns: u64) -> i32 {
        let share = ns as f64 / self.whole_ns as f64;
        PLOT.0 + (share.min(1.0) * f64::from(PLOT.1 - PLOT.0)).round() as i32
    }

    /// Lines down the rows.
    pub(super) fn grid(&self, area: &Area<'_>, top: i32, bottom: i32) -> Drawn {
        for ns in self.ticks() {
            area.draw(&PathElement::new([(self.x(ns), top), (self.x(ns), bottom)], FAINT))?;
        }
        Ok(())
    }

    /// Their names below.
    pub(super) fn scale(&self, area: &Area<'_>, top: i32) -> Drawn {
        area.draw(&PathElement::new([(PLOT.0, top), (PLOT.1, top)], GREY))?;
        for ns in self.ticks() {
            area.draw(&PathElement::new([(self.x(ns), top), (self.x(ns), top + 4)], GREY))?;
            write(area, &duration(ns), (self.x(ns), top + 16), 12, GREY, HPos::Center, false)?;
        }
        Ok(())
    }

    /// Round moments: 1, 2 or 5 of some power of ten apart.
    pub(super) fn ticks(&self) -> impl Iterator<Item = u64> + use<> {
        let steps = (0..19).flat_map(|power| [1, 2, 5].map(|times| times * 10u64.pow(power)));
        let whole_ns = self.whole_ns;
        let step = steps.into_iter().find(|step| whole_ns / step <= TICKS_MAX).unwrap_or(whole_ns);
        (0..=whole_ns / step).map(move |tick| tick * step)
    }
}
