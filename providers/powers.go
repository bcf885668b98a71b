package providers

// Powers are the optional interfaces of a driver; nil is one it does not have.
type Powers struct {
	Patcher         Patcher
	Attributer      Attributer
	Lister          Lister
	Restorer        Restorer
	BatchWriter     BatchWriter
	Placer          Placer
	ObjectDriver    ObjectDriver
	AccessCompiler  AccessCompiler
	Purger          Purger
	Predictor       Predictor
	Incarnator      Incarnator
	Declarer        Declarer
	AccessAuditor   AccessAuditor
	Permitter       Permitter
	Examiner        Examiner
	Leaser          Leaser
	Closer          Closer
	Prober          Prober
	Dater           Dater
	ObjectScoper    ObjectScoper
	Cryptor         Cryptor
	Watermarker     Watermarker
	FormDriver      FormDriver
	Sealer          Sealer
	Exporter        Exporter
	Deliverer       Deliverer
	Roller          Roller
	ConditionReader ConditionReader
}

// Powered is a driver that tells its powers itself, because they depend on its
// configuration or on the driver it stands in front of. Method sets cannot
// change at run time; without this a wrapper would hide what it wraps, or
// claim what it cannot do.
type Powered interface {
	Powers() Powers
}

// PowersOf returns what d can do beyond [Driver]. It is the only place that
// asks.
func PowersOf(d Driver) Powers {
	if p, ok := d.(Powered); ok {
		return p.Powers()
	}
	var p Powers
	p.Patcher, _ = d.(Patcher)
	p.Attributer, _ = d.(Attributer)
	p.Lister, _ = d.(Lister)
	p.Restorer, _ = d.(Restorer)
	p.BatchWriter, _ = d.(BatchWriter)
	p.Placer, _ = d.(Placer)
	p.ObjectDriver, _ = d.(ObjectDriver)
	p.AccessCompiler, _ = d.(AccessCompiler)
	p.Purger, _ = d.(Purger)
	p.Predictor, _ = d.(Predictor)
	p.Incarnator, _ = d.(Incarnator)
	p.Declarer, _ = d.(Declarer)
	p.AccessAuditor, _ = d.(AccessAuditor)
	p.Permitter, _ = d.(Permitter)
	p.Examiner, _ = d.(Examiner)
	p.Leaser, _ = d.(Leaser)
	p.Closer, _ = d.(Closer)
	p.Prober, _ = d.(Prober)
	p.Dater, _ = d.(Dater)
	p.ObjectScoper, _ = d.(ObjectScoper)
	p.Cryptor, _ = d.(Cryptor)
	p.Watermarker, _ = d.(Watermarker)
	p.FormDriver, _ = d.(FormDriver)
	p.Sealer, _ = d.(Sealer)
	p.Exporter, _ = d.(Exporter)
	p.Deliverer, _ = d.(Deliverer)
	p.Roller, _ = d.(Roller)
	p.ConditionReader, _ = d.(ConditionReader)
	return p
}
