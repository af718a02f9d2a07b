//! Curves in the making, however long they are: of too many points the lowest and the highest of each stretch stay, while they come, so what is in
//! memory is bounded by what a report takes. And the X of points that are only counted, exact to the last digit.

use waybill_shared::report::Num;

/// Most points of a curve (FORMATS.md section 2).
const MOST: usize = 10_000;
/// Most stretches of a curve that has more: two points each.
const STRETCHES: usize = MOST / 2;

/// The points of a curve, as far as a report takes them.
#[derive(Debug, Clone)]
pub(in crate::convert) struct Points<P> {
    /// All of them, as long as they are few.
    few: Vec<Point<P>>,
    /// The lowest and the highest of each stretch of `width` points; the last stretch has `filled`.
    stretches: Vec<(Point<P>, Point<P>)>,
    width: usize,
    filled: usize,
    count: usize,
    /// The lowest, the highest and the last of all.
    extremes: Option<[P; 3]>,
    bounds: (f64, f64),
}

#[derive(Debug, Clone)]
struct Point<P> {
    at: usize,
    y: f64,
    point: P,
}

impl<P> Default for Points<P> {
    fn default() -> Self {
        let (few, stretches) = (Vec::new(), Vec::new());
        Self { few, stretches, width: 1, filled: 0, count: 0, extremes: None, bounds: (f64::NAN, f64::NAN) }
    }
}

impl<P: Clone> Points<P> {
    /// One more; `y` is the number by which it is low or high.
    pub(in crate::convert) fn push(&mut self, y: f64, point: P) {
        let point = Point { at: self.count, y, point };
        self.count += 1;
        self.extreme(&point);
        if self.stretches.is_empty() && self.few.len() < MOST {
            self.few.push(point);
            return;
        }
        for point in std::mem::take(&mut self.few) {
            self.stretch(point);
        }
        self.stretch(point);
    }

    fn extreme(&mut self, new: &Point<P>) {
        let (low, high) = self.bounds;
        let (lower, higher) = (is_lower(new.y, low), is_higher(new.y, high));
        let [lowest, highest, _] = self.extremes.take().unwrap_or_else(|| std::array::from_fn(|_| new.point.clone()));
        self.extremes = Some([
            if lower { new.point.clone() } else { lowest },
            if higher { new.point.clone() } else { highest },
            new.point.clone(),
        ]);
        self.bounds = (if lower { new.y } else { low }, if higher { new.y } else { high });
    }

    fn stretch(&mut self, point: Point<P>) {
        match self.stretches.last_mut() {
            Some((low, high)) if self.filled < self.width => {
                if is_lower(point.y, low.y) {
                    *low = point.clone();
                }
                if is_higher(point.y, high.y) {
                    *high = point;
                }
                self.filled += 1;
            }
            _ => {
                if self.stretches.len() >= STRETCHES {
                    self.widen();
                }
                self.stretches.push((point.clone(), point));
                self.filled = 1;
            }
        }
    }

    /// Makes one stretch of two.
    fn widen(&mut self) {
        let two = |pair: &[(Point<P>, Point<P>)]| {
            let mut pair = pair.iter().cloned();
            let (low, high) = pair.next()?;
            Some(match pair.next() {
                Some((other_low, other_high)) => (
                    if is_lower(other_low.y, low.y) { other_low } else { low },
                    if is_higher(other_high.y, high.y) { other_high } else { high },
                ),
                None => (low, high),
            })
        };
        self.stretches = self.stretches.chunks(2).filter_map(two).collect();
        self.width *= 2;
    }

    /// How many there were.
    pub(in crate::convert) fn count(&self) -> usize {
        self.count
    }

    /// The lowest, the highest and the last.
    pub(in crate::convert) fn extremes(&self) -> Option<&[P; 3]> {
        self.extremes.as_ref()
    }

    /// Those that stay, in their order.
    pub(in crate::convert) fn into_points(self) -> Vec<P> {
        let of = |(low, high): (Point<P>, Point<P>)| {
            let both = low.at != high.at;
            let (first, second) = if high.at < low.at { (high, low) } else { (low, high) };
            [Some(first.point), both.then_some(second.point)]
        };
        let few = self.few.into_iter().map(|point| point.point);
        few.chain(self.stretches.into_iter().flat_map(of).flatten()).collect()
    }
}

/// What is no number is neither, and a number takes its place.
fn is_lower(new: f64, old: f64) -> bool {
    new < old || (old.is_nan() && !new.is_nan())
}

fn is_higher(new: f64, old: f64) -> bool {
    new > old || (old.is_nan() && !new.is_nan())
}

/// X values at equal distances: digits with an exponent of ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::convert) struct Ramp {
    start: i128,
    step: i128,
    exponent: i32,
}

impl Ramp {
    /// From a start and a step as a file writes them (`3.906250E-5`); none if they have more digits together than can be added up.
    pub(in crate::convert) fn new(start: &Num, step: &Num) -> Option<Self> {
        let ((start, a), (step, b)) = (digits(&start.to_string())?, digits(&step.to_string())?);
        let exponent = if start == 0 {
            b
        } else if step == 0 {
            a
        } else {
            a.min(b)
        };
        let scaled = |digits: i128, from: i32| {
            if digits == 0 {
                return Some(0);
            }
            let places = u32::try_from(from.checked_sub(exponent)?).ok().filter(|&places| places < 30)?;
            digits.checked_mul(10_i128.checked_pow(places)?)
        };
        Some(Self { start: scaled(start, a)?, step: scaled(step, b)?, exponent })
    }

    /// X of the n-th point, from 0.
    pub(in crate::convert) fn at(&self, n: usize) -> Option<Num> {
        let sum = i128::try_from(n).ok()?.checked_mul(self.step)?.checked_add(self.start)?;
        let (mut digits, mut exponent) = (sum, self.exponent);
        if digits == 0 {
            return Num::parse("0");
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        let sign = if digits < 0 { "-" } else { "" };
        let text = digits.unsigned_abs().to_string();
        // As people write it, unless it has many zeros.
        let places = usize::try_from(exponent.unsigned_abs()).ok()?;
        Num::parse(&match exponent {
            0 => format!("{sign}{text}"),
            1..=6 => format!("{sign}{text}{}", "0".repeat(places)),
            -20..0 if places < text.len() => {
                let (whole, fraction) = text.split_at_checked(text.len() - places)?;
                format!("{sign}{whole}.{fraction}")
            }
            -20..0 => format!("{sign}0.{}{text}", "0".repeat(places - text.len())),
            _ => format!("{sign}{text}e{exponent}"),
        })
    }
}

/// A number as its digits and an exponent of ten, without the zeros at its end.
fn digits(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() < 1000)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}").parse::<i128>().ok()?;
    Some((digits, exponent - i32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_all_stay_and_of_many_the_peaks() {
        let mut points = Points::default();
        (0..10_000).for_each(|n| points.push(f64::from(n % 7), n));
        assert_eq!(points.clone().into_points(), (0..10_000).collect::<Vec<_>>());
        for n in 10_000..123_457 {
            points.push(
                if n == 77_777 {
                    100.0
                } else if n == 5 {
                    -1.0
                } else {
                    f64::from(n % 7)
                },
                n,
            );
        }
        assert_eq!((points.count(), points.extremes().unwrap()[1..].to_vec()), (123_457, vec![77_777, 123_456]));
        let left = points.into_points();
        assert!(left.len() <= 10_000 && left.len() > 4_000 && left.contains(&77_777), "{}", left.len());
        assert!(left.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_is_no_number_is_never_a_peak() {
        let mut points = Points::default();
        [f64::NAN, 2.0, f64::NAN, 1.0, f64::NAN].into_iter().enumerate().for_each(|(n, y)| points.push(y, n));
        assert_eq!(points.extremes(), Some(&[3, 1, 4]));
        let mut many = Points::default();
        (0..40_000_u32).for_each(|n| many.push(if n % 2 == 0 { f64::NAN } else { f64::from(n) }, n));
        assert!(many.into_points().iter().all(|n| n % 2 == 1));
    }

    #[test]
    fn the_x_of_a_point_is_exact() {
        let number = |text: &str| crate::convert::ground::number::plain(text).unwrap();
        let ramp = |start: &str, step: &str, n| Ramp::new(&number(start), &number(step)).unwrap().at(n).unwrap().to_string();
        assert_eq!(ramp("0.0000000000000000E+0", "3.906250E-5", 3), "0.0001171875");
        assert_eq!(ramp("1.5", "0.001", 1), "1.501");
        assert_eq!(ramp("-1", "0.25", 2), "-0.5");
        assert_eq!(ramp("0", "1", 100), "100");
        assert_eq!(ramp("0", "1e9", 3).replace("e+", "e"), "3e9");
        assert_eq!(ramp("5", "0", 7), "5");
        assert_eq!(Ramp::new(&number("1e300"), &number("1e-300")), None);
    }
}
