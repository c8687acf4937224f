//! `--svg`: a ridge for each strategy over a logarithmic axis, the long waits as dots below it, the costs beside it.

use std::{error::Error, io};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

mod axis;

use axis::Axis;

use crate::{measure::LONG, options::Options, results::Results, stats::Tally};

const WIDTH: i32 = 1280;
const HEAD: i32 = 150;
const ROW: i32 = 100;
const FOOT: i32 = 92;

/// Left and right end of the axis, and the right ends of the columns of figures beside it.
const PLOT: (i32, i32) = (236, 1020);
const P99_END: i32 = 1124;
const CPU_END: i32 = 1240;
const MARGIN: i32 = 40;

/// Within a row, from its top: the median's label, the ridge's foot, the dots of each long wait.
const LABEL: i32 = 10;
const RIDGE: (i32, i32) = (21, 67);
const DOTS: [i32; 2] = [77, 89];

const FONT: &str = "Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif";
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const GREY: RGBColor = RGBColor(0x6b, 0x77, 0x85);
const FAINT: RGBColor = RGBColor(0xe4, 0xe8, 0xec);
const PAPER: RGBColor = RGBColor(0xfd, 0xfd, 0xfb);
const SLATE: RGBColor = RGBColor(0x7d, 0x8f, 0xa3);
const TEAL: RGBColor = RGBColor(0x0b, 0x7a, 0x75);
const BRICK: RGBColor = RGBColor(0xb8, 0x4a, 0x39);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The picture, as the text of an SVG file. `long` is in the order of [`LONG`].
pub(crate) fn draw(
    options: &Options,
    results: &Results,
    short: &[Tally],
    long: &[Vec<Tally>],
) -> io::Result<String> {
    let height = HEAD + ROW * short.len() as i32 + FOOT;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        paint(&area, options, results, short, long)
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(svg)
}

fn paint(
    area: &Area<'_>,
    options: &Options,
    results: &Results,
    short: &[Tally],
    long: &[Vec<Tally>],
) -> Drawn {
    let axis = Axis::over(short.iter().chain(long.iter().flatten()));
    area.fill(&PAPER)?;
    head(area, options, results)?;
    axis.paint(area, HEAD, HEAD + ROW * short.len() as i32)?;
    let mut order: Vec<_> = (0..short.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(results.strategies[i].p50_ns));
    for (row, &i) in order.iter().enumerate() {
        let top = HEAD + ROW * row as i32;
        let dots: Vec<_> = long.iter().filter_map(|tallies| tallies.get(i)).collect();
        ridge(area, &axis, top, &short[i], results)?;
        rain(area, &axis, top, &dots)?;
    }
    foot(area, HEAD + ROW * short.len() as i32)
}

fn head(area: &Area<'_>, options: &Options, results: &Results) -> Drawn {
    let samples = results.strategies.iter().map(|row| row.samples).max().unwrap_or(0);
    let (min, max) = (human(options.min.as_nanos() as i64), human(options.max.as_nanos() as i64));
    let load = match options.load {
        0 => "idle loop".to_owned(),
        n => format!("{n} other timers on the loop"),
    };
    let machine = &results.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown CPU");
    let hz = machine.hz.map_or(String::new(), |hz| format!(", HZ {hz}"));
    let text = |text: &str, size, y, ink| write(area, text, (MARGIN, y), size, ink, HPos::Left, false);
    write(area, "How late timers fire", (MARGIN, 46), 30, INK, HPos::Left, true)?;
    text(&format!("{samples} waits of {min} to {max} per strategy, interleaved; {load}"), 15, 78, INK)?;
    text(&format!("{cpu}, {} cores, {}{hz}", machine.cores, machine.kernel), 15, 100, GREY)?;
    write(area, "p99", (P99_END, HEAD - 14), 13, GREY, HPos::Right, false)?;
    write(area, "CPU per wake", (CPU_END, HEAD - 14), 13, GREY, HPos::Right, false)
}

fn foot(area: &Area<'_>, bottom: i32) -> Drawn {
    let lengths: Vec<_> = LONG.iter().map(|long| format!("{} s", long.wait.as_secs())).collect();
    let words = format!(
        "Ridge: distribution of the lateness, scaled to its own peak; the line is the median. Dots: single waits of {}.",
        lengths.join(" (upper) and ")
    );
    write(
        area,
        "lateness, logarithmic",
        ((PLOT.0 + PLOT.1) / 2, bottom + 42),
        13,
        GREY,
        HPos::Center,
        false,
    )?;
    write(area, &words, (MARGIN, bottom + 72), 13, GREY, HPos::Left, false)
}

/// One strategy: its name, its distribution, its median, and its figures.
fn ridge(area: &Area<'_>, axis: &Axis, top: i32, tally: &Tally, results: &Results) -> Drawn {
    let Some(row) = results.short(tally.name) else {
        return Ok(());
    };
    let color = match tally.name {
        name if name.starts_with("punctual") => TEAL,
        _ if row.spins() => BRICK,
        _ => SLATE,
    };
    let (peak_y, foot_y) = (top + RIDGE.0, top + RIDGE.1);
    let density = axis.density(tally.lateness_ns());
    let peak = density.iter().fold(f64::MIN_POSITIVE, |peak, &(_, d)| peak.max(d));
    let y = |d: f64| foot_y - (d / peak * f64::from(foot_y - peak_y)).round() as i32;
    let line: Vec<_> = density.iter().map(|&(x, d)| (x, y(d))).collect();
    let ends = [(PLOT.1, foot_y), (PLOT.0, foot_y)];
    area.draw(&PathElement::new(ends, FAINT))?;
    area.draw(&Polygon::new(line.iter().copied().chain(ends).collect::<Vec<_>>(), color.mix(0.28)))?;
    for above in line.split(|&(_, y)| y >= foot_y).filter(|part| !part.is_empty()) {
        area.draw(&PathElement::new(above.to_vec(), color.stroke_width(2)))?;
    }

    let x = axis.x(row.p50_ns);
    area.draw(&PathElement::new([(x, peak_y), (x, foot_y)], INK.stroke_width(2)))?;
    let label_x = x.clamp(PLOT.0 + 24, PLOT.1 - 24);
    write(area, &human(row.p50_ns), (label_x, top + LABEL), 14, INK, HPos::Center, true)?;

    let middle = (peak_y + foot_y) / 2 + 8;
    write(
        area,
        tally.name,
        (MARGIN, middle),
        15,
        if color == SLATE { INK } else { color },
        HPos::Left,
        true,
    )?;
    if row.early > 0 {
        write(
            area,
            &format!("{} early", row.early),
            (MARGIN, middle + 19),
            13,
            BRICK,
            HPos::Left,
            true,
        )?;
    }
    write(area, &human(row.p99_ns), (P99_END, middle), 15, INK, HPos::Right, false)?;
    let cpu = human(row.cpu_ns_per_wake as i64);
    write(
        area,
        &cpu,
        (CPU_END, middle),
        15,
        if color == BRICK { BRICK } else { INK },
        HPos::Right,
        false,
    )
}

/// The long waits of one strategy, a dot each.
fn rain(area: &Area<'_>, axis: &Axis, top: i32, long: &[&Tally]) -> Drawn {
    for ((tally, dy), length) in long.iter().zip(DOTS).zip(&LONG) {
        let label = format!("{} s", length.wait.as_secs());
        write(area, &label, (PLOT.0 - 8, top + dy), 11, GREY, HPos::Right, false)?;
        for &ns in tally.lateness_ns() {
            area.draw(&Circle::new((axis.x(ns), top + dy), 3, GREY.mix(0.55).filled()))?;
        }
    }
    Ok(())
}

/// A duration in its own unit, in three figures.
fn human(ns: i64) -> String {
    let (value, unit) = match ns.abs() {
        0..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let decimals = match value.abs() {
        v if v == v.trunc() || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let digits = format!("{value:.decimals$}");
    let digits = if decimals > 0 { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits} {unit}")
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    ink: RGBColor,
    side: HPos,
    bold: bool,
) -> Drawn {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    // plotters takes a font's size for 1.24 times what SVG takes it for.
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size) * 1.24, style);
    let style = TextStyle::from(font).color(&ink).pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(text, at, style))?)
}
