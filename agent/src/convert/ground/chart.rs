//! Curves as a chart of a report: at most ten curves of at most ten thousand points each (FORMATS.md section 2). Of more points the lowest and the
//! highest of each stretch stay, so no peak is lost.

use waybill_shared::report::{Chart, Num, Series};
use waybill_shared::text::printable;

use super::walk::Walk;

/// Most curves of a chart.
pub(in crate::convert) const MOST_CURVES: usize = 10;
/// Most points of a curve.
const MOST_POINTS: usize = 10_000;

/// A curve: its points in their order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Curve {
    /// What it shows.
    pub(in crate::convert) name: String,
    /// X and Y of each point.
    pub(in crate::convert) points: Vec<(Num, Num)>,
}

/// Curves as a chart, with a note for what is left out; none if there is none.
pub(in crate::convert) fn chart(label: &str, mut curves: Vec<Curve>, walk: &mut Walk) -> Option<Chart> {
    if curves.len() > MOST_CURVES {
        let (label, count) = (printable(label, 60), curves.len());
        walk.note(format!("the chart {label:?} has {count} curves: the first {MOST_CURVES} are shown"));
        curves.truncate(MOST_CURVES);
    }
    let series: Vec<_> = curves.into_iter().map(|curve| series(curve, walk)).collect();
    (!series.is_empty()).then(|| Chart {
        chart_type: Some("Line".to_owned()),
        label: Some(label.to_owned()),
        series: Some(series),
        ..Chart::default()
    })
}

/// A name and a unit of an axis.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::convert) struct Axis<'a> {
    /// Its name.
    pub(in crate::convert) label: &'a str,
    /// Its unit; blank if none is known.
    pub(in crate::convert) unit: &'a str,
}

/// The same with names and units of its axes, also if it has no curve.
pub(in crate::convert) fn with_axes(label: &str, x: Axis<'_>, y: Axis<'_>, curves: Vec<Curve>, notes: &mut Vec<String>) -> Chart {
    let mut walk = Walk::default();
    let chart = chart(label, curves, &mut walk).unwrap_or_default();
    notes.extend(walk.finish().unwrap_or_default());
    let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    Chart {
        label: text(label),
        x_label: text(x.label),
        x_unit: text(x.unit),
        y_label: text(y.label),
        y_unit: text(y.unit),
        ..chart
    }
}

fn series(curve: Curve, walk: &mut Walk) -> Series {
    let Curve { name, mut points } = curve;
    if points.len() > MOST_POINTS {
        let count = points.len();
        points = fewer(&points);
        let (name, left) = (printable(&name, 60), points.len());
        walk.note(format!("the curve {name:?} has {count} points: {left} are shown, the lowest and the highest of each stretch"));
    }
    let joined = |of: fn(&(Num, Num)) -> &Num| points.iter().map(|point| of(point).to_string()).collect::<Vec<_>>().join(";");
    Series {
        data_type: Some("XYG".to_owned()),
        xdata: Some(joined(|(x, _)| x)),
        ydata: Some(joined(|(_, y)| y)),
        name: Some(name),
        ..Series::default()
    }
}

fn fewer(points: &[(Num, Num)]) -> Vec<(Num, Num)> {
    let stretches = MOST_POINTS / 2;
    let of = |n: usize| {
        let (from, to) = (n * points.len() / stretches, (n + 1) * points.len() / stretches);
        let stretch = points.get(from..to).unwrap_or_default();
        let numbers = || stretch.iter().enumerate().filter(|(_, (_, y))| !y.as_f64().is_nan());
        let by = |(_, (_, a)): &(usize, &(Num, Num)), (_, (_, b)): &(usize, &(Num, Num))| a.as_f64().total_cmp(&b.as_f64());
        let (low, high) = match (numbers().min_by(by), numbers().max_by(by)) {
            (Some((low, _)), Some((high, _))) => (low, high),
            _ => (0, 0),
        };
        let (first, second) = (low.min(high), (low != high).then_some(low.max(high)));
        stretch.get(first).into_iter().chain(second.and_then(|at| stretch.get(at))).cloned().collect::<Vec<_>>()
    };
    (0..stretches).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(count: i64) -> Curve {
        let y = |x: i64| if x == 17_777 { 9_999 } else { x % 7 };
        Curve { name: "c".to_owned(), points: (0..count).map(|x| (Num::from(x), Num::from(y(x)))).collect() }
    }

    #[test]
    fn of_many_points_the_peaks_stay_and_it_is_noted() {
        let mut walk = Walk::default();
        let chart = chart("l", vec![curve(3), curve(100_000)], &mut walk).unwrap();
        let [short, long] = chart.series.as_deref().unwrap() else { panic!() };
        assert_eq!((short.xdata.as_deref(), short.ydata.as_deref()), (Some("0;1;2"), Some("0;1;2")));
        let (xs, ys): (Vec<_>, Vec<_>) =
            (long.xdata.as_deref().unwrap().split(';').collect(), long.ydata.as_deref().unwrap().split(';').collect());
        assert_eq!((xs.len(), ys.len()), (10_000, 10_000));
        assert!(xs.iter().zip(&ys).any(|pair| pair == (&"17777", &"9999")));
        assert!(xs.windows(2).all(|pair| pair[0].parse::<i64>().unwrap() < pair[1].parse::<i64>().unwrap()));
        assert_eq!(walk.finish().unwrap().len(), 1);
    }

    #[test]
    fn no_more_than_ten_curves_are_shown_and_none_is_no_chart() {
        let mut walk = Walk::default();
        assert_eq!(chart("l", vec![curve(1); 12], &mut walk).unwrap().series.unwrap().len(), 10);
        assert!(walk.finish().unwrap()[0].contains("12 curves"));
        assert_eq!(chart("l", Vec::new(), &mut Walk::default()), None);
        let nothing = Curve { name: String::new(), points: vec![(Num::from(1_i64), Num::NaN); 10_001] };
        assert_eq!(fewer(&nothing.points).len(), 5_000);
    }
}
