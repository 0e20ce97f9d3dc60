//! The plots: orders by callers, and the latency of a confirm.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::before::Before;
use crate::cell::{Cell, Load};
use crate::pace::Pace;
use crate::plan::HOT;
use crate::results::Results;
use crate::system::System;
use crate::way::Way;
use crate::workload::Workload;

/// Pixels.
const SIZE: (u32, u32) = (800, 480);

/// A point of a line: callers, and a median.
type Point = (f64, f64);

/// One plot.
struct Plot {
    file: &'static str,
    title: &'static str,
    y_title: &'static str,
    workload: Workload,
    figure: &'static str,
    /// How many of the figure's unit make one of the axis'.
    unit: f64,
}

const PLOTS: [Plot; 4] = [
    Plot {
        file: "orders.svg",
        title: "Orders on one hot sku",
        y_title: "orders/s",
        workload: Workload::Order,
        figure: "confirmed_per_s",
        unit: 1.0,
    },
    Plot {
        file: "reserves.svg",
        title: "Reserves of one hot sku",
        y_title: "reserves/s",
        workload: Workload::Reserve,
        figure: "accepted_per_s",
        unit: 1.0,
    },
    Plot {
        file: "confirm-p50.svg",
        title: "Confirm p50 on one hot sku",
        y_title: "ms",
        workload: Workload::Order,
        figure: "confirm_p50_us",
        unit: 1000.0,
    },
    Plot {
        file: "confirm-p99.svg",
        title: "Confirm p99 on one hot sku",
        y_title: "ms",
        workload: Workload::Order,
        figure: "confirm_p99_us",
        unit: 1000.0,
    },
];

/// The lines of each plot: what is drawn, and by which way.
const LINES: [(&str, System, Way); 5] = [
    ("stockhold", System::Service, Way::Unary),
    ("stockhold, batching client", System::Service, Way::Session),
    ("peer-mysql", System::MysqlPeer, Way::Unary),
    ("peer-seckill", System::SeckillPeer, Way::Unary),
    ("empty-rpc", System::EmptyRpc, Way::Unary),
];

/// Draws the plots that have data.
pub(super) fn draw(results: &Results, out: &Path) -> Result<(), Box<dyn Error>> {
    for plot in &PLOTS {
        plot.draw(results, out)?;
    }
    Ok(())
}

impl Plot {
    fn draw(&self, results: &Results, out: &Path) -> Result<(), Box<dyn Error>> {
        let lines = LINES.map(|(name, system, way)| (name, self.points(results, system, way)));
        let lines: Vec<_> = lines.into_iter().filter(|(_, points)| !points.is_empty()).collect();
        let all = || lines.iter().flat_map(|(_, points)| points);
        let Some(callers_max) = all().map(|point| point.0).max_by(f64::total_cmp) else { return Ok(()) };
        let (low, high) =
            all().fold((f64::INFINITY, 0.0_f64), |(low, high), point| (low.min(point.1), high.max(point.1)));

        let path = out.join(self.file);
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 22))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(72)
            // Systems differ by orders of magnitude.
            .build_cartesian_2d((1.0..callers_max.max(2.0)).log_scale(), (low / 2.0..high * 2.0).log_scale())?;
        chart.configure_mesh().x_desc("callers").y_desc(self.y_title).draw()?;
        for (index, (name, points)) in lines.into_iter().enumerate() {
            let style = Palette99::pick(index).stroke_width(2);
            let marks = points.clone().into_iter().map(|point| Circle::new(point, 4, style.filled()));
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
            chart.draw_series(marks)?;
        }
        chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
        area.present()?;
        Ok(())
    }

    fn points(&self, results: &Results, system: System, way: Way) -> Vec<Point> {
        let points = results.cells.iter().filter_map(|cell| match cell.cell {
            Cell::Load {
                system: of,
                load: Load { workload, shape: HOT, way: by, pace: Pace::Closed { callers }, before: Before::Nothing },
            } if (of, by) == (system, way) && workload == self.workload => {
                let median = results.median(&cell.cell, self.figure)?;
                Some((callers as f64, median / self.unit))
            }
            _ => None,
        });
        points.collect()
    }
}
