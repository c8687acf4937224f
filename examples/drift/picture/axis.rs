//! The picture's logarithmic axis: where a lateness is drawn, and how dense the samples are along it.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, Drawn, FAINT, GREY, PLOT, human, write};
use crate::stats::Tally;

/// Width of the kernel that smooths the ridges, and the step between their points, in decades.
const BANDWIDTH: f64 = 0.03;
const STEP: f64 = 0.01;

/// Lateness on a logarithmic scale of whole decades, the first of them from 0.1 µs or later.
pub(super) struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    pub(super) fn over<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Axis {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for &ns in tallies.flat_map(Tally::lateness_ns) {
            low = low.min(log(ns));
            high = high.max(log(ns));
        }
        let low = low.min(high).floor() as i32;
        Axis { low, high: (high.ceil() as i32).max(low + 1) }
    }

    pub(super) fn x(&self, ns: i64) -> i32 {
        self.place(log(ns))
    }

    fn place(&self, log: f64) -> i32 {
        let share = (log - f64::from(self.low)) / f64::from(self.high - self.low);
        PLOT.0 + (share * f64::from(PLOT.1 - PLOT.0)).round() as i32
    }

    /// A line down the rows for each decade, and its name below.
    pub(super) fn paint(&self, area: &Area<'_>, top: i32, bottom: i32) -> Drawn {
        for decade in self.low..=self.high {
            let x = self.place(f64::from(decade));
            area.draw(&PathElement::new([(x, top), (x, bottom)], FAINT))?;
            write(
                area,
                &human(10i64.pow(decade as u32)),
                (x, bottom + 18),
                13,
                GREY,
                HPos::Center,
                false,
            )?;
        }
        Ok(())
    }

    /// Density at steps along the axis, as (pixel, height): a Gaussian kernel over the samples.
    pub(super) fn density(&self, lateness_ns: &[i64]) -> Vec<(i32, f64)> {
        let logs: Vec<_> = lateness_ns.iter().map(|&ns| log(ns)).collect();
        let steps = (f64::from(self.high - self.low) / STEP) as i32;
        let at = |step| {
            let here = f64::from(self.low) + f64::from(step) * STEP;
            let sum: f64 =
                logs.iter().map(|log| (-0.5 * ((log - here) / BANDWIDTH).powi(2)).exp()).sum();
            (self.place(here), sum)
        };
        (0..=steps).map(at).collect()
    }
}

/// Below 0.1 µs, where the clock itself ends, everything is drawn at the axis's left end.
fn log(ns: i64) -> f64 {
    (ns.max(100) as f64).log10()
}
