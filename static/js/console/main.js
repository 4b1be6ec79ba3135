import { Desk } from "./desk.js";
import { ROUTE_AFTER_SIGN_IN } from "./connection.js";

const route = sessionStorage.getItem(ROUTE_AFTER_SIGN_IN);
sessionStorage.removeItem(ROUTE_AFTER_SIGN_IN);
if (route && !location.hash) history.replaceState(null, "", route);

new Desk(JSON.parse(document.getElementById("console-data").textContent)).open();
