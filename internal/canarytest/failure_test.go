//go:build unix

package canarytest

import (
	"bytes"
	"os"
	"regexp"
	"strings"
)

// failures goes through everything that goes wrong with values at hand.
func (w *world) failures(values valueSet) {
	w.t.Helper()
	w.credentials(values)
	w.inputs(values)
	w.damage(values)
	w.mistakes(values)
	w.places()
}

// with runs a command under other variables, "NAME" alone takes one away.
func (w *world) with(want int, vars []string, args ...string) {
	w.t.Helper()
	cmd := w.command(args...)
	for _, v := range vars {
		name, _, set := strings.Cut(v, "=")
		kept := cmd.Env[:0:0]
		for _, e := range cmd.Env {
			if !strings.HasPrefix(e, name+"=") {
				kept = append(kept, e)
			}
		}
		if cmd.Env = kept; set {
			cmd.Env = append(cmd.Env, v)
		}
	}
	w.finish(want, nil, cmd)
}

// credentials are wrong, cut, or somebody else's.
func (w *world) credentials(values valueSet) {
	w.t.Helper()
	const stranger = "AGE-SECRET-KEY-12FN3ACL97QTYYKY7MZD3E0XGS865T55ERU2Q7LK38UMATGUP5S8Q63T2JL"
	w.plant("inputs/some.txt", values.list[0].Value)
	get := []string{"secret", "get", secretAddress("gen_password"), "-raw"}
	set := []string{"rotate", secretAddress("gen_password"), "-auto-approve"}
	for i, v := range []string{
		"SOPS_AGE_KEY=" + stranger, "SOPS_AGE_KEY=" + w.identity[:40], "SOPS_AGE_KEY=" + w.identity + "Q",
		"SOPS_AGE_KEY=" + strings.Replace(w.identity, "-1", "-2", 1), "SOPS_AGE_KEY=" + string(values.list[0].Value),
		"SOPS_AGE_KEY_FILE=inputs/some.txt", "SOPS_AGE_KEY_FILE=inputs/none", "XDG_CONFIG_HOME=" + w.root + "/tmp",
	} {
		vars := []string{"XDG_CONFIG_HOME=" + w.root + "/xdg-cache", v}
		w.with(failing, vars, get...)
		w.with(failing, vars, set...)
		w.each(i, func() { w.with(anyCode, vars, "drift", "-verify-values") }, func() { w.with(anyCode, vars, "init") })
	}
	w.knowKeys() // init has made one
	w.with(0, []string{"SOPS_AGE_KEY=" + w.identity, "COFFER_FINGERPRINT_KEY=" + w.fingerprintKey}, "drift", "-verify-values")
	for _, v := range []string{w.fingerprintKey[:40], w.fingerprintKey + "x", strings.ToLower(w.fingerprintKey), string(values.list[0].Value)} {
		w.with(failing, []string{"COFFER_FINGERPRINT_KEY=" + v}, "plan")
	}
	w.plant("coffer.fingerprint.key", []byte(w.fingerprintKey[:40]+"\n"))
	w.run(failing, "plan")
	w.plant("coffer.fingerprint.key", []byte(w.fingerprintKey+"\n"))
}

// inputs are missing, empty or broken.
func (w *world) inputs(values valueSet) {
	w.t.Helper()
	w.supply(values, 5)
	now := func(name string) []string { return []string{"rotate", secretAddress(name), "-auto-approve"} }
	w.with(anyCode, []string{"CANARY_0="}, "apply", "-auto-approve")
	w.with(failing, []string{"CANARY_0"}, now("env_0")...)
	w.with(failing, []string{"CANARY_0="}, now("env_0")...)
	for name, file := range map[string]string{"file_0": "inputs/file_0", "dot_0": "inputs/vars.env", "sops_0": "inputs/source.yaml"} {
		good := w.read(file)
		if err := os.Remove(w.file(file)); err != nil {
			w.t.Fatal(err)
		}
		w.run(failing, now(name)...)
		if err := os.MkdirAll(w.file(file), 0o700); err != nil {
			w.t.Fatal(err)
		}
		w.run(failing, now(name)...)
		if err := os.Remove(w.file(file)); err != nil {
			w.t.Fatal(err)
		}
		w.plant(file, good)
	}
	good := w.read("inputs/vars.env")
	for i, text := range brokenVariables(values) {
		w.plant("inputs/vars.env", []byte(text))
		w.each(i,
			func() { w.run(anyCode, "apply", "-auto-approve") },
			func() { w.run(anyCode, "drift", "-verify-values") },
			func() { w.run(anyCode, "plan") })
		w.run(anyCode, "discover", "dotenv", "inputs/vars.env", "-out", "broken.hcl", "-map", "(.*)=broken/dev/$1")
		_ = os.Remove(w.file("broken.hcl"))
	}
	w.plant("inputs/vars.env", good)
}

// brokenVariables are .env files that are not. In none of them does a value
// stand where a name should: names are public.
func brokenVariables(values valueSet) []string {
	v, pem := string(values.list[0].Value), string(values.list[2].Value)
	return []string{
		"CANARY_0='" + v + "\n", "CANARY_0=\"" + v + "\n", v + "\n", "CANARY_0 " + v + "\n", "export " + v + "\n",
		"CANARY_0=" + pem, "CANARY_0='" + v + "' " + v + "\n", "CANARY_0=\"\\q" + v + "\"\n",
		"CANARY_0=" + v + "\x00\n", "CANARY_0=" + v + "\xff\n", "CANARY_0=" + v + "\nCANARY_0=" + v + "x\n",
		"CANARY_0=$" + v + "\\'\n", "\xef\xbb\xbf" + v, "[" + v + "]\n", "CANARY 0=" + v + "\n", v + "-" + v + "=" + v + "\n",
	}
}

// damage is what others do to an encrypted file.
func (w *world) damage(values valueSet) {
	w.t.Helper()
	const name = "secrets/dev/shop.yaml"
	good := w.read(name)
	for i, content := range damaged(good, values) {
		w.plant(name, content)
		w.each(i,
			func() { w.run(anyCode, "apply", "-auto-approve") },
			func() { w.run(anyCode, "plan", "-json") },
			func() { w.run(anyCode, "drift", "-verify-values") },
			func() { w.run(anyCode, "accept", "app.shop", "-auto-approve") },
			func() { w.run(anyCode, "rotate", secretAddress("gen_hex"), "-auto-approve") },
			func() {
				w.run(anyCode, "discover", "sops", "-out", "damaged.hcl")
				_ = os.Remove(w.file("damaged.hcl"))
			})
	}
	w.write(name, string(good))
	source := w.read("inputs/source.yaml")
	for i, content := range damaged(source, values) {
		if i%3 != 0 && !long {
			continue
		}
		w.plant("inputs/source.yaml", content)
		w.supply(values, 6)
		w.run(anyCode, "apply", "-auto-approve")
	}
	w.plant("inputs/source.yaml", source)
}

// damaged returns a SOPS file cut, altered, and with values in clear, but not
// as names, which are public in such a file, as comments are that others left.
func damaged(good []byte, values valueSet) [][]byte {
	v := string(values.list[0].Value)
	line := regexp.MustCompile(`(?m)^(gen_password|file_0): .*$`)
	set := func(text string) []byte { return line.ReplaceAll(good, []byte("$1: "+text)) }
	flipped := regexp.MustCompile(`data:(.)`).ReplaceAll(good, []byte("data:A"))
	mac := regexp.MustCompile(`(mac: ENC\[AES256_GCM,data:.)`).ReplaceAll(good, []byte("${1}A"))
	noMetadata := good[:bytes.Index(good, []byte("\nsops:"))+1]
	return [][]byte{
		good[:len(good)/2], flipped, mac, noMetadata,
		set(v), set("'" + v + "\n  bad: ["), set("[" + v + ", " + v + "]"), set("7391"), set("{a: " + v + "}"), set("!!binary " + v),
		set("&" + v + " x"), set("*" + v), set("|\n  " + v), set("ENC[" + v + "]"), set("ENC[AES256_GCM,data:" + v + ",iv:x,tag:x,type:str]"),
		append([]byte("gen_password: "+v+"\nfile_0: "+v+"\n"), good...),
		append([]byte(v+"\n"), good...), append([]byte("\tgen_password: "+v+"\n"), good...), []byte("gen_password: " + v + "\nfile_0: " + v + "\n"),
		append([]byte("\x00"+v), good...), []byte(v),
		{},
	}
}

// mistakes are what a person does with the wrong file or at the wrong place.
func (w *world) mistakes(values valueSet) {
	w.t.Helper()
	v := values.list[0].Value
	w.give(failing, nil, "secret", "set", secretAddress("manual_0"))
	w.give(failing, v, "secret", "set", secretAddress("gen_password"))
	w.give(failing, v, "secret", "set", secretAddress("nothing"))
	w.give(failing, v, "secret", "set", secretAddress("manual_0"), "-field", "x")
	w.give(failing, v, "secret", "set", "-json", "app.shop")
	w.give(failing, v, "secret", "set", secretAddress("manual_0"), "-state", "inputs/vars.env")
	w.quiet(failing, "secret", "set", secretAddress("manual_0"), string(v))
	for i, file := range []string{"inputs/vars.env", "inputs/file_3", "inputs/source.yaml", "inputs/file_7", "inputs/some.txt"} {
		w.run(failing, "apply", file)
		w.each(i,
			func() { w.run(failing, "show", file) },
			func() { w.run(failing, "state", "push", file) },
			func() { w.run(failing, "state", "list", "-state", file) },
			func() { w.run(anyCode, "audit", "verify", file) },
			func() { w.give(failing, w.read(file), "state", "push", "-") })
	}
}

// quiet is run for arguments that hold a value, which are then not kept.
func (w *world) quiet(want int, args ...string) {
	w.t.Helper()
	cmd := w.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if code := exitCode(cmd.Run()); code == 0 && want == failing {
		w.t.Fatalf("an argument that is a value is accepted")
	}
	w.sinks.ran()
	w.sinks.add("stdout", "a value as an argument", out.Bytes())
	w.sinks.add("stderr", "a value as an argument", errs.Bytes())
}

// places cannot be written, or others can read them.
func (w *world) places() {
	w.t.Helper()
	rename := func(from, to string) {
		if err := os.Rename(w.file(from), w.file(to)); err != nil {
			w.t.Fatal(err)
		}
	}
	rotate := []string{"rotate", secretAddress("gen_password"), "-auto-approve"}
	rename("secrets", "aside")
	w.write("secrets", "no folder")
	w.run(failing, rotate...)
	_ = os.Remove(w.file("secrets"))
	rename("aside", "secrets")

	for _, file := range []string{"audit.log", "coffer.fingerprint.key"} {
		w.chmod(file, 0o644)
		if r := w.run(failing, rotate...); !bytes.Contains(r.stderr, []byte("chmod")) {
			w.t.Errorf("%s that others can read is refused without a way on: %s", file, r.stderr)
		}
		w.chmod(file, 0o600)
	}
	w.run(0, "apply", "-auto-approve")
	w.learn()
}

func (w *world) chmod(name string, mode os.FileMode) {
	w.t.Helper()
	if err := os.Chmod(w.file(name), mode); err != nil {
		w.t.Fatal(err)
	}
}

// each runs one of the ways, another one for each i; the long suite all.
func (w *world) each(i int, ways ...func()) {
	w.t.Helper()
	if !long {
		ways = ways[i%len(ways):][:1]
	}
	for _, way := range ways {
		way()
	}
}
