/** Times for people, without Intl: it is slow to build and we show hundreds of them. All take epoch milliseconds. */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "14:05", and "3 Nov, 14:05" when it was not today. */
export function clockTime(at, now = Date.now()) {
  const date = new Date(at);
  const time = `${date.getHours()}`.padStart(2, "0") + ":" + `${date.getMinutes()}`.padStart(2, "0");
  return sameDay(date, new Date(now)) ? time : `${dayOf(date, now)}, ${time}`;
}

/** How long, in at most two units: "12 s", "3 min", "1 h 5 min", "2 d 3 h". A clock that runs ahead gives "0 s". */
export function span(milliseconds) {
  const length = Math.max(0, milliseconds);
  if (length < MINUTE) return `${Math.floor(length / 1000)} s`;
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`;
  if (length < DAY) return twoUnits(length, HOUR, "h", MINUTE, "min");
  return twoUnits(length, DAY, "d", HOUR, "h");
}

function sameDay(one, other) {
  return one.toDateString() === other.toDateString();
}

function dayOf(date, now) {
  const day = `${date.getDate()} ${MONTHS[date.getMonth()]}`;
  return date.getFullYear() === new Date(now).getFullYear() ? day : `${day} ${date.getFullYear()}`;
}

function twoUnits(length, large, largeName, small, smallName) {
  const rest = Math.floor((length % large) / small);
  return `${Math.floor(length / large)} ${largeName}` + (rest ? ` ${rest} ${smallName}` : "");
}
