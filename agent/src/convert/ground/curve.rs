//! Curves as charts, within what a chart takes (FORMATS.md section 2): ten curves of ten thousand points.

use waybill_shared::report::{Chart, Num, Series};
use waybill_shared::text::printable;

/// Most points of a curve.
const POINTS: usize = 10_000;
/// Most curves of a chart.
const CURVES: usize = 10;

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) struct Curve {
    /// Its name.
    pub(in crate::convert) name: String,
    /// Its points.
    pub(in crate::convert) points: Vec<(Num, Num)>,
}

/// A name and a unit of an axis.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::convert) struct Axis<'a> {
    /// Its name.
    pub(in crate::convert) label: &'a str,
    /// Its unit; blank if none is known.
    pub(in crate::convert) unit: &'a str,
}

/// A chart of curves over one axis, with a note for what does not fit.
pub(in crate::convert) fn chart(label: &str, x: Axis<'_>, y: Axis<'_>, mut curves: Vec<Curve>, notes: &mut Vec<String>) -> Chart {
    let name = printable(label, 60);
    if curves.len() > CURVES {
        notes.push(format!("the chart {name:?} has {} curves; the first {CURVES} are shown", curves.len()));
        curves.truncate(CURVES);
    }
    let series = |curve: Curve| {
        let count = curve.points.len();
        let points = thinned(curve.points);
        if points.len() < count {
            let of = printable(&curve.name, 60);
            notes.push(format!(
                "the curve {of:?} has {count} points; {} of them are shown, least and greatest ones",
                points.len()
            ));
        }
        let joined = |of: fn(&(Num, Num)) -> &Num| points.iter().map(|point| of(point).to_string()).collect::<Vec<_>>().join(";");
        Series {
            data_type: Some("XYG".to_owned()),
            name: Some(curve.name),
            xdata: Some(joined(|point| &point.0)),
            ydata: Some(joined(|point| &point.1)),
            ..Series::default()
        }
    };
    let series = curves.into_iter().map(series).collect();
    let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    Chart {
        chart_type: Some("Line".to_owned()),
        label: text(label),
        x_label: text(x.label),
        x_unit: text(x.unit),
        y_label: text(y.label),
        y_unit: text(y.unit),
        series: Some(series),
        ..Chart::default()
    }
}

/// Of each part of a curve that is too long, the least and the greatest point, in their order.
fn thinned(points: Vec<(Num, Num)>) -> Vec<(Num, Num)> {
    if points.len() <= POINTS {
        return points;
    }
    let part = points.len().div_ceil(POINTS / 2);
    let mut kept = Vec::with_capacity(POINTS);
    for part in points.chunks(part) {
        let by = |a: &(usize, &(Num, Num)), b: &(usize, &(Num, Num))| a.1.1.as_f64().total_cmp(&b.1.1.as_f64());
        let least = part.iter().enumerate().min_by(by);
        let greatest = part.iter().enumerate().max_by(by);
        let (Some(least), Some(greatest)) = (least, greatest) else { continue };
        let (first, second) = if least.0 <= greatest.0 { (least, greatest) } else { (greatest, least) };
        kept.push(first.1.clone());
        if first.0 != second.0 {
            kept.push(second.1.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_extremes_and_says_so() {
        let point = |n: i64| (Num::from(n), Num::from(if n == 12_345 { 1_000_000 } else { n % 7 }));
        let curve = Curve { name: "c".to_owned(), points: (0..50_000).map(point).collect() };
        let mut notes = Vec::new();
        let made = chart("title", Axis { label: "f", unit: "Hz" }, Axis::default(), vec![curve.clone(); 11], &mut notes);
        let series = made.series.unwrap();
        let y = series[0].ydata.clone().unwrap();
        assert!(series.len() == 10 && y.split(';').count() <= POINTS && y.contains("1000000"));
        assert_eq!(y.split(';').count(), series[0].xdata.as_ref().unwrap().split(';').count());
        assert!(notes.len() == 11 && notes[0].contains("11 curves"), "{notes:?}");
        let short = Curve { name: "s".to_owned(), points: vec![(Num::parse("1.50").unwrap(), Num::NaN)] };
        let made = chart("t", Axis::default(), Axis::default(), vec![short], &mut Vec::new());
        assert_eq!(made.series.unwrap()[0].xdata.as_deref(), Some("1.50"));
    }
}
