//! Deliveries per second of the last two minutes.

use eframe::egui::accesskit::Role;
use eframe::egui::{Color32, Ui, WidgetInfo};
use egui_plot::{GridMark, HoverPosition, Line, Plot, PlotPoints, PlotUi};

use crate::model::{Stretch, Throughput, WINDOW_SECS};
use crate::text;
use crate::theme::{self, Palette, TextKind, size};
use crate::widgets::{dot, section};

/// One line: its name, its colour, what was measured.
struct Series {
    name: String,
    colour: Color32,
    stretches: Vec<Stretch>,
    filled: bool,
}

pub(super) fn show(ui: &mut Ui, throughput: &Throughput) {
    let series = series(throughput, theme::palette(ui));
    section(
        ui,
        text::THROUGHPUT,
        |ui| {
            if series.len() > 1 {
                legend(ui, &series);
            } else {
                ui.label(TextKind::Caption.text(ui, text::THROUGHPUT_SPAN));
            }
        },
        |ui| {
            if throughput.is_moving() {
                plot(ui, &series);
            } else {
                quiet(ui);
            }
        },
    );
}

/// All destinations together, and each by itself if there are several.
fn series(throughput: &Throughput, palette: &Palette) -> Vec<Series> {
    let destinations = throughput.destinations();
    if destinations.len() < 2 {
        let name = destinations.into_iter().next().unwrap_or_else(|| text::THROUGHPUT_ALL.to_owned());
        return vec![Series { name, colour: palette.series[0], stretches: throughput.total(), filled: true }];
    }
    let all =
        Series { name: text::THROUGHPUT_ALL.to_owned(), colour: palette.text_weak, stretches: throughput.total(), filled: true };
    let each = destinations.into_iter().zip(palette.series.iter().cycle()).map(|(name, colour)| {
        let stretches = throughput.of(&name);
        Series { name, colour: *colour, stretches, filled: false }
    });
    std::iter::once(all).chain(each).collect()
}

fn legend(ui: &mut Ui, series: &[Series]) {
    // The layout goes from right to left.
    for series in series.iter().rev() {
        ui.label(TextKind::Caption.text(ui, &series.name));
        dot(ui, series.colour);
        ui.add_space(size::GAP_TINY);
    }
}

fn quiet(ui: &mut Ui) {
    ui.label(TextKind::Caption.text(ui, text::THROUGHPUT_EMPTY));
}

fn plot(ui: &mut Ui, series: &[Series]) {
    let highest = series.iter().flat_map(|s| s.stretches.iter().flatten()).fold(1.0_f64, |highest, point| highest.max(point[1]));
    #[allow(clippy::cast_precision_loss, reason = "120")]
    let oldest = -(WINDOW_SECS as f64);
    let palette = theme::palette(ui);
    let response = Plot::new("throughput")
        .height(size::PLOT_HEIGHT)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_axis_zoom_drag(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_background(false)
        .show_crosshair(false)
        .show_grid([false, true])
        .grid_color(palette.line)
        .cursor_color(palette.text_weak)
        .x_grid_spacer(|_| marks(oldest))
        .x_axis_formatter(|mark, _| text::seconds_ago(mark.value))
        .y_grid_spacer(|_| rates(highest))
        .y_axis_formatter(|mark, _| text::rate_mark(mark.value))
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint { plot_name, position, .. } => Some(text::rate(plot_name, position.y)),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            plot.set_plot_bounds_x(oldest..=0.0);
            plot.set_plot_bounds_y(0.0..=highest * 1.1);
            for series in series {
                lines(plot, series);
            }
        });
    response.response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, text::THROUGHPUT));
}

/// Half minutes.
fn marks(oldest: f64) -> Vec<GridMark> {
    let step_size = size::PLOT_MARK_SECS;
    std::iter::successors(Some(0.0), |mark| Some(mark - step_size))
        .take_while(|mark| *mark >= oldest)
        .map(|value| GridMark { value, step_size })
        .collect()
}

/// Two to five round numbers up to the highest rate; whole ones, as reports are.
fn rates(highest: f64) -> Vec<GridMark> {
    let magnitude = 10_f64.powf((highest / 2.0).log10().floor()).max(1.0);
    let step_size =
        [5.0, 2.0, 1.0].map(|step| step * magnitude).into_iter().find(|step| step * 2.0 <= highest).unwrap_or(magnitude);
    std::iter::successors(Some(step_size), |mark| Some(mark + step_size))
        .take_while(|mark| *mark <= highest)
        .map(|value| GridMark { value, step_size })
        .collect()
}

fn lines<'a>(plot: &mut PlotUi<'a>, series: &'a Series) {
    for (i, stretch) in series.stretches.iter().enumerate() {
        let points: PlotPoints<'a> = stretch.iter().copied().collect();
        let mut line =
            Line::new(series.name.as_str(), points).id((series.name.as_str(), i)).color(series.colour).width(size::PLOT_LINE);
        if series.filled {
            line = line.fill(0.0).fill_alpha(size::PLOT_FILL);
        }
        plot.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_the_rates_are_few_and_round() {
        let values = |highest| rates(highest).into_iter().map(|mark| mark.value).collect::<Vec<_>>();
        assert_eq!(values(1.0), [1.0]);
        assert_eq!(values(3.0), [1.0, 2.0, 3.0]);
        assert_eq!(values(16.0), [5.0, 10.0, 15.0]);
        assert_eq!(values(430.0), [200.0, 400.0]);
        for highest in 1..5000 {
            assert!((1..=5).contains(&rates(f64::from(highest)).len()), "{highest}");
        }
    }

    #[test]
    fn the_time_axis_has_half_minutes() {
        let values: Vec<_> = marks(-120.0).into_iter().map(|mark| mark.value).collect();
        assert_eq!(values, [0.0, -30.0, -60.0, -90.0, -120.0]);
    }
}
