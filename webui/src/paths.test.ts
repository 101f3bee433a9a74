import assert from "node:assert/strict";
import { test } from "node:test";
import { afterLogin } from "./paths.ts";

const ORIGIN = "http://master:8080";

test("after a login the page goes to an address of its own", () => {
  const own = "/experiments/1/trials?q=lr%3C1#top";
  assert.equal(afterLogin(own, ORIGIN), own);
  assert.equal(afterLogin(`${ORIGIN}/queue`, ORIGIN), "/queue");
});

test("after a login the page goes nowhere else", () => {
  for (const to of [
    null,
    "",
    "https://elsewhere",
    "https://elsewhere/experiments",
    "//elsewhere/experiments",
    "/\\elsewhere/experiments",
    "\\\\elsewhere/experiments",
    "http://master:8081/experiments",
    "http://master:8080@elsewhere/experiments",
    "javascript:alert(1)",
    "\tjavascript:alert(1)",
    "data:text/html,x",
    "http://[",
    "/api/v1/master",
    "/open?key=1",
    "/login?to=/login",
  ]) {
    assert.equal(afterLogin(to, ORIGIN), "/experiments", String(to));
  }
});
