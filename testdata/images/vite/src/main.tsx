import { StrictMode, Suspense, lazy } from 'react';
import { createRoot } from 'react-dom/client';
import { BrowserRouter, Route, Routes } from 'react-router-dom';
import Home from './pages/Home';
import './style.css';

// Each is a file of its own, fetched when its page is first shown.
const Sky = lazy(() => import('./pages/Sky'));
const About = lazy(() => import('./pages/About'));

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <BrowserRouter>
      <Suspense fallback={<p>…</p>}>
        <Routes>
          <Route path="/" element={<Home />} />
          <Route path="/sky/:star" element={<Sky />} />
          <Route path="/about" element={<About />} />
        </Routes>
      </Suspense>
    </BrowserRouter>
  </StrictMode>,
);
