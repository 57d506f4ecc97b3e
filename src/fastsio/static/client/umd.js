/* What the script defines as `io`: the function, with the other names as its properties. */
import * as names from "./index.js";

export default Object.assign(names.io, names, { io: names.io });
