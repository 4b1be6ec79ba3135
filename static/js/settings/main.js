import { offerCopying } from "./copy.js";
import { keepFocus } from "./focus.js";
import { Live } from "./live.js";
import { takeDoubleClicksOnce } from "./once.js";
import { showOutcomes } from "./outcomes.js";
import { localiseTimes } from "./times.js";
import { offerTrying } from "./try.js";

takeDoubleClicksOnce();
showOutcomes();
keepFocus();
offerCopying();
localiseTimes();
offerTrying();
new Live(document.getElementById("live")).open();
