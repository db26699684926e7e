//! The results as pictures.

use std::path::Path;

use plotters::prelude::*;

use crate::Result;
use crate::measured::{Measured, Sampled, Statistic, Unit};
use crate::report::less_is_better;

const FONT: &str = "sans-serif";

/// Told apart also by those who see fewer colours (Okabe and Ito).
const COLOURS: [(&str, RGBColor); 5] = [
    ("orlop", RGBColor(0, 114, 178)),
    ("crun", RGBColor(230, 159, 0)),
    ("youki", RGBColor(0, 158, 115)),
    ("runc", RGBColor(213, 94, 0)),
    ("floor", RGBColor(150, 150, 150)),
];

const BAR: i32 = 12;
const GAP: i32 = 10;
const LABELS: i32 = 330;
const SCALE: f64 = 400.0;

/// Twice crun's; a longer bar is cut off there.
const LONGEST: f64 = 2.0;

fn colour(runtime: &str) -> RGBColor {
    COLOURS.iter().find(|(name, _)| *name == runtime).map_or(BLACK, |(_, colour)| *colour)
}

/// A bar for each thing and runtime: its part of crun's median, with the figure behind it.
pub fn bars(path: &Path, all: &[Measured]) -> Result<()> {
    let shown: Vec<(&Measured, f64)> = all
        .iter()
        .filter(|measured| less_is_better(measured))
        .filter_map(|measured| Some((measured, measured.by("crun")?.of(Statistic::Median))))
        .collect();
    let rows = shown.iter().map(|(measured, _)| i32::try_from(measured.sampled.len()).unwrap_or(0) * BAR + GAP);
    let height = rows.sum::<i32>() + 50;
    let area = SVGBackend::new(path, (LABELS as u32 + 950, height.cast_unsigned())).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new("median, beside crun's (the line); less is better", (LABELS, 8), (FONT, 14)))?;
    let mut y = 34;
    let top = y;
    for (measured, crun) in shown {
        area.draw(&Text::new(measured.what.clone(), (8, y), (FONT, 13)))?;
        for sampled in &measured.sampled {
            bar(&area, y, measured.unit, sampled, crun)?;
            y += BAR;
        }
        y += GAP;
    }
    let x = LABELS + pixels(1.0);
    area.draw(&PathElement::new(vec![(x, top), (x, y - GAP)], BLACK))?;
    Ok(area.present()?)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn bar(area: &Area<'_>, y: i32, unit: Unit, sampled: &Sampled, crun: f64) -> Result<()> {
    let value = sampled.of(Statistic::Median);
    let end = LABELS + pixels((value / crun).min(LONGEST));
    area.draw(&Rectangle::new([(LABELS, y), (end, y + BAR - 2)], colour(&sampled.runtime).filled()))?;
    let more = if value / crun > LONGEST { "→ " } else { "" };
    let text = format!("{more}{} {} {}", sampled.runtime, unit.print(value), unit.name());
    Ok(area.draw(&Text::new(text, (end + 5, y), (FONT, 11)))?)
}

#[allow(clippy::cast_possible_truncation, reason = "a few hundred of them")]
fn pixels(part: f64) -> i32 {
    (part * SCALE) as i32
}

/// How many of a hundred were as fast as that or faster, for the life of a container alone and among others.
pub fn latency(path: &Path, all: &[Measured]) -> Result<()> {
    let area = SVGBackend::new(path, (1000, 1050)).into_drawing_area();
    area.fill(&WHITE)?;
    let shown =
        all.iter().filter(|measured| measured.what == "run" || measured.what.starts_with("create + start + delete"));
    let shown: Vec<&Measured> = shown.filter(|measured| !measured.what.contains("config")).collect();
    for (part, measured) in area.split_evenly((shown.len().max(1), 1)).iter().zip(shown) {
        distribution(part, measured)?;
    }
    Ok(area.present()?)
}

fn distribution(area: &Area<'_>, measured: &Measured) -> Result<()> {
    let longest = measured.sampled.iter().map(|sampled| sampled.of(Statistic::P99)).fold(0.0, f64::max);
    let shortest =
        measured.sampled.iter().filter_map(|sampled| sampled.values().first()).fold(longest, |a, b| a.min(*b));
    let mut chart = ChartBuilder::on(area)
        .caption(&measured.what, (FONT, 16))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d((shortest * 0.9..longest * 1.1).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("milliseconds (logarithmic)")
        .y_desc("% at most")
        .light_line_style(WHITE)
        .label_style((FONT, 11))
        .draw()?;
    for sampled in &measured.sampled {
        let colour = colour(&sampled.runtime);
        let count = f64::from(u32::try_from(sampled.values().len())?);
        let points = (1_u32..).zip(sampled.values()).map(|(rank, time)| (*time, f64::from(rank) / count * 100.0));
        let points = points.filter(|(time, _)| *time <= longest * 1.1);
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(sampled.runtime.as_str())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 12))
        .background_style(WHITE)
        .draw()?;
    Ok(())
}
