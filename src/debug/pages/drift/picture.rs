//! The pictures, as SVG that stretches to whatever room it is given: words and numbers stand beside it, in HTML.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::{Axis, LEAST_NS};
use crate::debug::Distribution;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The units in which a picture is drawn, not pixels.
const WIDTH: i32 = 1200;
const RIDGE: i32 = 64;
const TAIL: i32 = 300;
const BAR: i32 = 12;

/// In light; in the dark the stylesheet has others in their place.
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const FAINT: RGBColor = RGBColor(0xe4, 0xe8, 0xec);
const SLATE: RGBColor = RGBColor(0x7d, 0x8f, 0xa3);
const TEAL: RGBColor = RGBColor(0x0b, 0x7a, 0x75);
const BRICK: RGBColor = RGBColor(0xb8, 0x4a, 0x39);

/// What lateness is made of, and all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Total,
    Quantisation,
    Kernel,
    Loop,
}

impl Part {
    fn color(self) -> RGBColor {
        match self {
            Part::Total => INK,
            Part::Quantisation => SLATE,
            Part::Kernel => TEAL,
            Part::Loop => BRICK,
        }
    }
}

/// A picture of this height, that says `label` to whoever does not see it. Nothing, if it cannot be drawn.
fn svg(class: &str, label: &str, height: i32, paint: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
    let painted = paint(&area);
    drop(area);
    if let Err(error) = painted {
        tracing::error!(%error, "a picture of the debug endpoint cannot be drawn");
        return String::new();
    }
    let fixed = format!("<svg width=\"{WIDTH}\" height=\"{height}\" ");
    let stretches = format!(
        "<svg class=\"{class}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\" "
    );
    svg.replacen(&fixed, &stretches, 1)
}

/// Where the firings lie along the axis.
pub(super) fn ridge(axis: &Axis, part: Part, distribution: &Distribution, label: &str) -> String {
    svg("ridge", label, RIDGE, |area| {
        let foot = RIDGE - 1;
        decades(area, axis, RIDGE)?;
        let density = axis.density(distribution, WIDTH);
        let y = |height: f64| foot - (height * f64::from(foot - 6)).round() as i32;
        let line: Vec<_> = density.iter().map(|&(x, height)| (x, y(height))).collect();
        let ends = [(WIDTH, foot), (0, foot)];
        area.draw(&PathElement::new(ends, FAINT))?;
        let color = part.color();
        area.draw(&Polygon::new(line.iter().copied().chain(ends).collect::<Vec<_>>(), color.mix(0.24)))?;
        for above in line.split(|&(_, y)| y >= foot).filter(|part| !part.is_empty()) {
            area.draw(&PathElement::new(above.to_vec(), color.stroke_width(2)))?;
        }
        let median = axis.x(distribution.p50_ns, WIDTH);
        if distribution.p50_ns > 0 {
            area.draw(&PathElement::new([(median, 0), (median, foot)], INK.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// A line down for each decade.
fn decades(area: &Area<'_>, axis: &Axis, height: i32) -> Drawn {
    for tick in axis.ticks() {
        let x = axis.x(tick, WIDTH);
        area.draw(&PathElement::new([(x, 0), (x, height)], FAINT))?;
    }
    Ok(())
}

/// How many powers of ten below all the rarest firing is, at least three.
pub(super) fn rarities(distributions: &[(Part, &Distribution)]) -> u32 {
    let most = distributions.iter().map(|(_, distribution)| distribution.count).max().unwrap_or(0);
    most.max(1).ilog10().saturating_add(1).clamp(3, 9)
}

/// Which share of the firings is later than what: both axes are logarithmic.
pub(super) fn tail(axis: &Axis, distributions: &[(Part, &Distribution)], label: &str) -> String {
    let rarities = rarities(distributions);
    let y = |share: f64| {
        let down = if share > 0.0 { -share.log10() / f64::from(rarities) } else { 1.0 };
        (down.min(1.0) * f64::from(TAIL)).round() as i32
    };
    svg("tail", label, TAIL, |area| {
        decades(area, axis, TAIL)?;
        for rarity in 0..=rarities {
            let y = y(0.1f64.powi(rarity as i32));
            area.draw(&PathElement::new([(0, y), (WIDTH, y)], FAINT))?;
        }
        for (part, distribution) in distributions.iter().filter(|(_, of)| of.max_ns >= LEAST_NS) {
            let mut later = distribution.count;
            let mut line = vec![(0, 0)];
            for (to_ns, count) in &distribution.buckets_ns {
                let x = axis.x((*to_ns).min(distribution.max_ns), WIDTH);
                line.push((x, line.last().map_or(0, |&(_, y)| y)));
                later = later.saturating_sub(*count);
                line.push((x, y(later as f64 / distribution.count as f64)));
            }
            line.dedup();
            area.draw(&PathElement::new(line, part.color().stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Lengths in a row, `longest_ns` being all there is room for.
pub(super) fn bar(parts_ns: &[(Part, u64)], longest_ns: u64, label: &str) -> String {
    svg("bar", label, BAR, |area| {
        let mut from = 0u64;
        for &(part, ns) in parts_ns {
            let to = from.saturating_add(ns);
            let x = |ns: u64| (ns as f64 / longest_ns.max(1) as f64 * f64::from(WIDTH)).round() as i32;
            let corners = [(x(from), 0), (x(to).min(WIDTH), BAR)];
            area.draw(&Rectangle::new(corners, part.color().filled()))?;
            from = to;
        }
        Ok(())
    })
}
