//! The logarithmic axis that all pictures of the page share, and how dense the firings are along it.

use crate::debug::Distribution;

/// Below this, where the clock itself ends, nothing is drawn.
pub(super) const LEAST_NS: u64 = 100;

/// Width of the kernel that smooths a ridge, and the step between its points, in decades.
const BANDWIDTH: f64 = 0.035;
const STEP: f64 = 0.015;

/// Whole decades of lateness, the first from 0.1 µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    /// One that has room for all of `distributions`.
    pub(super) fn over(distributions: &[&Distribution]) -> Axis {
        let longest = distributions.iter().map(|distribution| distribution.max_ns).max().unwrap_or(0);
        let low = log(LEAST_NS) as i32;
        Axis { low, high: (log(longest).ceil() as i32).max(low + 4) }
    }

    /// Where each decade begins, and where the last one ends, in nanoseconds.
    pub(super) fn ticks(&self) -> impl Iterator<Item = u64> + '_ {
        (self.low..=self.high).map(|decade| 10u64.saturating_pow(decade.unsigned_abs()))
    }

    /// Where `ns` is drawn on an axis that is `width` long.
    pub(super) fn x(&self, ns: u64, width: i32) -> i32 {
        self.place(log(ns), width)
    }

    fn place(&self, log: f64, width: i32) -> i32 {
        let share = (log - f64::from(self.low)) / f64::from(self.high - self.low);
        (share * f64::from(width)).round() as i32
    }

    /// Density at steps along an axis that is `width` long, as (x, height up to 1): a Gaussian kernel over what is not below
    /// the axis. It is the square root that is drawn, or one in a thousand could not be seen.
    pub(super) fn density(&self, distribution: &Distribution, width: i32) -> Vec<(i32, f64)> {
        let steps = (f64::from(self.high - self.low) / STEP).round() as usize;
        let mut heights = vec![0.0; steps + 1];
        let reach = (4.0 * BANDWIDTH / STEP).ceil() as usize;
        for (to_ns, count) in distribution.buckets_ns.iter().filter(|(to_ns, _)| *to_ns >= LEAST_NS) {
            let at = (log(*to_ns) - f64::from(self.low)) / STEP;
            let middle = at.round() as usize;
            let near = middle.saturating_sub(reach)..=(middle + reach).min(steps);
            for (step, height) in heights.iter_mut().enumerate().take(near.end() + 1).skip(*near.start())
            {
                let distance = (step as f64 - at) * STEP / BANDWIDTH;
                *height += *count as f64 * (-0.5 * distance * distance).exp();
            }
        }
        let peak = heights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let x = |step: usize| self.place(f64::from(self.low) + step as f64 * STEP, width);
        heights.iter().enumerate().map(|(step, height)| (x(step), (height / peak).sqrt())).collect()
    }
}

fn log(ns: u64) -> f64 {
    (ns.max(LEAST_NS) as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(buckets_ns: &[(u64, u64)]) -> Distribution {
        Distribution {
            buckets_ns: buckets_ns.to_vec(),
            count: buckets_ns.iter().map(|(_, count)| count).sum(),
            max_ns: buckets_ns.last().map_or(0, |(to, _)| *to),
            ..Distribution::default()
        }
    }

    #[test]
    fn an_axis_is_of_whole_decades_and_has_room_for_the_longest() {
        let none = distribution(&[]);
        assert_eq!(
            Axis::over(&[&none]).ticks().collect::<Vec<_>>(),
            [100, 1000, 10_000, 100_000, 1_000_000]
        );
        let some = distribution(&[(50, 1), (52_000_000, 3)]);
        let axis = Axis::over(&[&none, &some]);
        assert_eq!(axis.ticks().last(), Some(100_000_000));
        assert_eq!((axis.x(0, 600), axis.x(1000, 600), axis.x(100_000_000, 600)), (0, 100, 600));
        let longest = distribution(&[(u64::MAX, 1)]);
        assert_eq!(Axis::over(&[&longest]).ticks().last(), Some(u64::MAX), "no overflow");
    }

    #[test]
    fn a_ridge_peaks_where_most_are_and_leaves_out_what_is_below_the_axis() {
        let axis = Axis::over(&[&distribution(&[(900_000, 1)])]);
        let density = axis.density(&distribution(&[(0, 1_000_000), (10_000, 100), (900_000, 1)]), 400);
        let at = |x: i32| {
            let near = density.iter().filter(|(at, _)| (at - x).abs() <= 1);
            near.map(|(_, height)| *height).fold(0.0, f64::max)
        };
        assert!(at(axis.x(10_000, 400)) > 0.99);
        assert!((0.05..0.2).contains(&at(axis.x(900_000, 400))), "the root of a hundredth");
        assert_eq!(at(1), 0.0);
        assert!(axis.density(&distribution(&[]), 400).iter().all(|(_, height)| *height == 0.0));
    }
}
